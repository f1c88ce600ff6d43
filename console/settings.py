"""Settings of the console, from the environment."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import PatronError
from records.accounts.roles import Role, role_of


class ConsoleSettings(BaseSettings):
    """The sign-in of the console, and its start."""

    model_config = SettingsConfigDict(env_prefix="PATRON_CONSOLE_")

    oidc_issuer: str = Field(
        "",
        description="the issuer of OpenID Connect by whose accounts people sign in, such as"
        " `https://login.shop.example/realms/shop`",
        json_schema_extra={"unit": "URL", "default": "none"},
    )
    oidc_client_id: str = Field(
        "", description="the id by which the issuer knows the console", json_schema_extra={"default": "none"}
    )
    oidc_client_secret: SecretStr = Field(
        SecretStr(""),
        description="the secret that belongs to it; none for a public client",
        json_schema_extra={"default": "none"},
    )
    oidc_scopes: str = Field("openid profile email", description="the scopes that the console requests")
    oidc_name_claim: str = Field(
        "preferred_username", description="the claim that names the account; without it, `email`, then `sub`"
    )
    oidc_role_claim: str = Field("groups", description="the claim with the groups of a person")
    oidc_roles: str = Field(
        "",
        description="the roles of groups, separated by commas, such as `crm-team=marketer,it=operator`;"
        " the first that fits is the role, at each sign-in",
        json_schema_extra={"default": "none"},
    )
    oidc_default_role: str = Field(
        "",
        description="the role of people whose groups have none",
        json_schema_extra={"default": "they are refused"},
    )
    local_sign_in: bool = Field(True, description="let local accounts sign in with a password")

    warm_up: bool = Field(
        True,
        description="load after the start what the first visitors of pages would wait for; a service without"
        " visitors saves the memory of columns without it",
    )

    @field_validator("oidc_roles", "oidc_default_role")
    @classmethod
    def _known_roles(cls, text: str) -> str:
        try:
            for pair in filter(None, text.split(",")):
                role_of(pair.rpartition("=")[2].strip())
        except PatronError as error:
            raise PydanticCustomError("role", "{reason}", {"reason": str(error)}) from error
        return text

    def check(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            PatronError: the text says which, and what to do.
        """
        if bool(self.oidc_issuer) != bool(self.oidc_client_id):
            raise PatronError("set PATRON_CONSOLE_OIDC_ISSUER and PATRON_CONSOLE_OIDC_CLIENT_ID, or neither")
        if not self.local_sign_in and not self.oidc_issuer:
            raise PatronError(
                "nobody could sign in: set PATRON_CONSOLE_OIDC_ISSUER, or leave PATRON_CONSOLE_LOCAL_SIGN_IN"
            )

    @property
    def roles(self) -> dict[str, Role]:
        """The roles by group, in the order in which they apply."""
        pairs = (pair.rpartition("=") for pair in self.oidc_roles.split(",") if pair.strip())
        return {group.strip(): role_of(role.strip()) for group, _, role in pairs}
