"""No shared disk: a run whose files lie in a bucket, on this machine and in the jobs of a stand-in for Kubernetes."""

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from contrastive_concepts.config.similarity import ENCODER_FILES
from contrastive_concepts.dictionary.manifest import DICTIONARY_FILES

from .conftest import ROOT
from .kubernetes_api import Pod, kubernetes
from .object_servers import s3_server
from .project import Project
from .scripted_model import scripted_model
from .snakemake_server import imported_anew

pytestmark = pytest.mark.slow
DICTIONARY = "results/small/dictionary/manifest.json"
IN_A_BUCKET = [
    "--default-storage-provider", "s3", "--default-storage-prefix", "s3://bucket/stored",
    "--shared-fs-usage", "persistence", "software-deployment", "sources", "source-cache",
]  # fmt: skip
ON_KUBERNETES = [
    "--workflow-profile", "profiles/kubernetes", "--default-storage-prefix", "s3://bucket/kubernetes",
    "--container-image", "contrastive-concepts:test", "--kubernetes-namespace", "vision",
    "--envvars", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION",
    # What this machine and this test need beyond the profile.
    "--jobs", "2", "--seconds-between-status-checks", "1", "--set-resources", "visibility:gpu=2",
]  # fmt: skip


class World:
    """An S3 server with the captions, a language model, and what a run with neither storage nor cluster publishes."""

    def __init__(self, folder: Path, environment: dict[str, str], judge: dict[str, object]) -> None:
        self.folder, self.environment, self.judge = folder, environment, judge
        keys = {name.lower(): environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
        self.s3 = boto3.client("s3", endpoint_url=environment["AWS_ENDPOINT_URL"], region_name="us-east-1", **keys)
        local = self.project("local")
        self.s3.create_bucket(Bucket="captions")
        for path in (local.folder / "data").glob("*.parquet"):
            self.s3.upload_file(str(path), "captions", path.name)
        local.snakemake(DICTIONARY)
        published = local.folder / "results" / "small" / "dictionary"
        self.published = {path.name: path.read_bytes() for path in published.iterdir()}

    def project(self, name: str) -> Project:
        (self.folder / name).mkdir()
        project = Project(self.folder / name)
        project.environment = {**project.environment, **self.environment}
        project.config["captions"] = {"source": "shards", "shards": ["s3://captions/part-*.parquet"]}
        project.config["visibility"] = self.judge
        project.config["similarity"] = {
            "encoder": "open_clip", "model": "toyworld-clip", "pretrained": None, "templates": "photo"
        }  # fmt: skip
        return project

    def stored(self, prefix: str) -> dict[str, bytes]:
        """The dictionary in the bucket."""
        folder = f"{prefix}/results/small/dictionary/"
        found = self.s3.list_objects_v2(Bucket="bucket", Prefix=folder).get("Contents", [])
        keys = [item["Key"] for item in found]
        return {key.removeprefix(folder): self.s3.get_object(Bucket="bucket", Key=key)["Body"].read() for key in keys}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with s3_server() as (environment, _), scripted_model({"freedom"}) as model:
        yield World(tmp_path_factory.mktemp("world"), environment, model.judge)


def test_every_file_of_a_dictionary_is_declared(world: World) -> None:
    assert set(world.published) == {*DICTIONARY_FILES, *ENCODER_FILES}


def test_a_run_whose_files_lie_in_a_bucket(world: World) -> None:
    project = world.project("stored")
    project.snakemake(DICTIONARY, *IN_A_BUCKET)
    assert world.stored("stored") == world.published
    assert not (project.folder / "results" / "small").exists()
    assert "Nothing to be done" in project.snakemake(DICTIONARY, *IN_A_BUCKET, "--dry-run")
    project.config["selection"] = {"delta": 0.5}
    project.snakemake(DICTIONARY, *IN_A_BUCKET)
    assert world.stored("stored").keys() == world.published.keys()
    assert world.stored("stored")["dictionary.json"] != world.published["dictionary.json"]


def test_the_jobs_of_kubernetes(world: World) -> None:
    project = world.project("clone")
    for path in (project.folder / "data").glob("*.parquet"):
        path.unlink()
    for name in ("envs", "workflow", "resources", "profiles"):
        shutil.copytree(ROOT / name, project.folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", project.folder)
    # The executor hands on the files that git knows.
    for command in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", *command], cwd=project.folder, check=True)
    with kubernetes(world.folder / "cluster", kill={"lexicon"}) as cluster:
        project.environment["KUBECONFIG"] = str(cluster.folder / "kubeconfig")
        project.start = imported_anew
        snakefile = str(project.folder / "Snakefile")
        said = project.snakemake(DICTIONARY, *ON_KUBERNETES, snakefile=snakefile)
        again = project.snakemake(DICTIONARY, *ON_KUBERNETES, "--dry-run", snakefile=snakefile)
    assert "Nothing to be done" in again
    assert world.stored("kubernetes") == world.published, said
    assert not (project.folder / "results").exists()

    of_rule: dict[str, list[Pod]] = defaultdict(list)
    for pod in cluster.pods.values():
        for rule in pod.rules:
            of_rule[rule].append(pod)
        assert str(project.folder) not in str(pod.container)
        assert pod.container["image"] == "contrastive-concepts:test"
        assert pod.container["resources"]["limits"]["memory"] == pod.container["resources"]["requests"]["memory"]
    # All shards are one job; those that are small and have no file to fetch run here.
    assert len(of_rule["match_shards"]) == 1
    assert "manifest" not in of_rule
    # Out of memory: again, with twice as much.
    asked = [pod.container["resources"]["limits"]["memory"] for pod in of_rule["lexicon"]]
    assert asked == ["2000M", "4000M"]
    with_gpus = [pod for pod in cluster.pods.values() if "nvidia.com/gpu" in pod.container["resources"]["limits"]]
    assert [pod.rules for pod in with_gpus] == [["visibility"]]
    assert with_gpus[0].container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert [toleration["key"] for toleration in with_gpus[0].spec["tolerations"]] == ["nvidia.com/gpu"]
    # Nothing is left of the run in the cluster, the keys among it.
    assert cluster.namespaces == {"vision"}
    assert {*cluster.pods, *cluster.secrets} <= set(cluster.deleted)
