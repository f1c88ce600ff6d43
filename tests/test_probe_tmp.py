import time
from models.registry import Registry
from features.home import Home
import shutil, json


def test_x(trained_shop, trained_copy, tmp_path, capsys):
    from training.pipeline import train

    t = time.time()
    r = Registry(trained_copy)
    print(time.time() - t)
    shutil.rmtree(trained_shop.mlflow / "artifacts")
    for n in ("churn", "propensity", "clv"):
        print(r.champion(n).manifest["complement"])
    print(time.time() - t)
    import mlflow

    run = r._client.get_run(r.versions("clv")[0].run_id)
    print(run.data.params, run.data.tags, run.info.artifact_uri)
    print([a.path for a in r._client.list_artifacts(run.info.run_id)])
    print(r._client.get_model_version("clv", "1"))
    m = mlflow.pyfunc.load_model(run.info.artifact_uri + "/bundle")
    print(m, m.metadata.signature)
    t = time.time()
    home = Home(tmp_path / "h2")
    home.mlflow.mkdir(parents=True)
    (home.mlflow / "mlflow.db").write_bytes(b"garbage" * 1000)
    for what in ("versions", "champion"):
        try:
            getattr(Registry(home), what)("clv")
        except BaseException as e:
            print(what, type(e), type(e).__mro__, str(e)[:300])
    print(time.time() - t)
    t = time.time()
    home = Home(tmp_path / "h3")
    print(Registry(home).versions("clv"))
    print(time.time() - t)
