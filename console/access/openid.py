"""Sign-in by OpenID Connect: the code flow with PKCE (RFC 7636), state and nonce, by Authlib.

The issuer's metadata and keys are read at each sign-in, so that new keys apply at once.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from requests import RequestException

from console.settings import ConsoleSettings
from core.errors import PatronError
from records.accounts.roles import Role, role_of

TIMEOUT_S = 5.0  # of each request to the issuer
LEEWAY_S = 60  # by which the clocks may differ
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")


class OpenIdRefusal(PatronError):
    """Nobody is signed in; the text is the name of the message that says why.

    Args:
        status: of the response.
        cause: what went wrong, in English, for the service's log; without personal data.
    """

    def __init__(self, message: str, status: int, cause: str = "") -> None:
        super().__init__(message)
        self.status, self.cause = status, cause


@dataclass(frozen=True)
class SignInFlow:
    """What a browser keeps while a person is at the issuer.

    Attributes:
        state: proves that the response belongs to this browser. nonce: that the token does.
        verifier: proves to the issuer that the code is exchanged by who requested it.
        to: the address of the page that was wanted.
    """

    state: str
    nonce: str
    verifier: str
    to: str

    @classmethod
    def begin(cls, to: str) -> SignInFlow:
        """A flow with new random values."""
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), to)

    @classmethod
    def read(cls, text: str) -> SignInFlow | None:
        """The flow of a cookie; None if it is none."""
        fields = parse_qs(text)
        try:
            return cls(*(fields[name][0] for name in ("state", "nonce", "verifier", "to")))
        except KeyError:
            return None

    def text(self) -> str:
        """The flow for a cookie."""
        return urlencode(vars(self))


@dataclass(frozen=True)
class OpenIdPerson:
    """Whom the issuer signed in; ``subject`` is unique at the issuer and stays."""

    issuer: str
    subject: str
    name: str
    role: Role


class OpenIdClient:
    """The console as a client of an issuer.

    Raises:
        OpenIdRefusal: from every method, if the issuer cannot be reached or does not answer as it should.
    """

    def __init__(self, settings: ConsoleSettings) -> None:
        self.settings = settings

    def address(self, flow: SignInFlow, redirect_uri: str) -> str:
        """The issuer's address to which a browser is led."""
        with self._session(redirect_uri) as session:
            url, _ = session.create_authorization_url(
                str(self._metadata(session)["authorization_endpoint"]),
                state=flow.state, nonce=flow.nonce, code_verifier=flow.verifier,
            )  # fmt: skip
        return str(url)

    def person(
        self, flow: SignInFlow | None, parameters: Mapping[str, str], redirect_uri: str
    ) -> OpenIdPerson:
        """Whom the issuer's response, the parameters of the redirection, signs in."""
        if flow is None or not hmac.compare_digest(flow.state, parameters.get("state", "")):
            raise OpenIdRefusal("openid.old", 400)
        if "code" not in parameters:
            raise OpenIdRefusal("openid.refused", 403, parameters.get("error", "")[:60])
        with self._session(redirect_uri) as session:
            metadata = self._metadata(session)
            try:
                token = session.fetch_token(
                    metadata["token_endpoint"], code=parameters["code"], code_verifier=flow.verifier,
                    grant_type="authorization_code", timeout=TIMEOUT_S,
                )  # fmt: skip
                keys = session.request("GET", metadata["jwks_uri"], withhold_token=True, timeout=TIMEOUT_S)
                claims = self._claims(token, KeySet.import_key_set(keys.json()), flow.nonce)
            except RequestException as error:
                raise OpenIdRefusal("openid.away", 503, type(error).__name__) from error
            except (AuthlibBaseError, JoseError, KeyError, ValueError, TypeError) as error:
                raise OpenIdRefusal("openid.invalid", 401, f"{type(error).__name__}: {error}") from error
        return OpenIdPerson(
            self.settings.oidc_issuer, str(claims["sub"]), self._name(claims), self._role(claims)
        )

    def _claims(self, token: Mapping[str, Any], keys: KeySet, nonce: str) -> Mapping[str, Any]:
        """The claims of an id token that is the issuer's, for this client, of this flow and not expired."""
        decoded = jwt.decode(token["id_token"], keys, algorithms=ALGORITHMS)
        client_id = self.settings.oidc_client_id
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            {"iss": {"value": self.settings.oidc_issuer}, "aud": {"value": client_id}},
            {"nonce": nonce, "client_id": client_id, "access_token": token.get("access_token")},
        )
        claims.validate(leeway=LEEWAY_S)
        return dict(claims)

    def _name(self, claims: Mapping[str, Any]) -> str:
        names = (claims.get(claim) for claim in (self.settings.oidc_name_claim, "email", "sub"))
        return str(next(name for name in names if name))

    def _role(self, claims: Mapping[str, Any]) -> Role:
        groups = claims.get(self.settings.oidc_role_claim) or []
        groups = {groups} if isinstance(groups, str) else set(map(str, groups))
        role = next((role for group, role in self.settings.roles.items() if group in groups), None)
        if role is None and not self.settings.oidc_default_role:
            raise OpenIdRefusal("openid.no_role", 403, "none of the person's groups has a role")
        return role or role_of(self.settings.oidc_default_role)

    def _session(self, redirect_uri: str) -> OAuth2Session:
        secret = self.settings.oidc_client_secret.get_secret_value() or None
        return OAuth2Session(
            self.settings.oidc_client_id, secret,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            scope=self.settings.oidc_scopes, redirect_uri=redirect_uri, code_challenge_method="S256",
        )  # fmt: skip

    def _metadata(self, session: OAuth2Session) -> Mapping[str, Any]:
        """What the issuer says of itself (OpenID Connect Discovery)."""
        url = f"{self.settings.oidc_issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            response = session.request("GET", url, withhold_token=True, timeout=TIMEOUT_S)
            response.raise_for_status()
            metadata: Mapping[str, Any] = response.json()
            if metadata["issuer"] != self.settings.oidc_issuer:
                raise OpenIdRefusal("openid.invalid", 503, "the metadata are of another issuer")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                metadata[name]
        except RequestException as error:
            raise OpenIdRefusal("openid.away", 503, type(error).__name__) from error
        except (KeyError, ValueError, TypeError) as error:
            raise OpenIdRefusal("openid.invalid", 503, f"metadata: {type(error).__name__}") from error
        return metadata
