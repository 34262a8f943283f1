"""configs/cluster.yaml, kuberay.yaml and runtime_env.yaml are what Ray and KubeRay take."""

import copy
import re

import pytest
import yaml

from tests.support.vclip_command import ROOT

CONFIGS = ROOT / "configs"


def _read(name):
    return yaml.safe_load((CONFIGS / name).read_text())


@pytest.fixture
def cluster():
    return _read("cluster.yaml")


@pytest.fixture
def rayjob():
    return _read("kuberay.yaml")


def _validated(config):
    """As `ray up` does before it asks the cloud for anything."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(copy.deepcopy(config))
    validate_config(prepared)
    return prepared


def test_ray_takes_the_cluster(cluster):
    prepared = _validated(cluster)
    assert set(prepared["available_node_types"]) == {"head", "extract", "embed"}
    # Nothing of the defaults is left that would install another Ray.
    assert "ray-wheels" not in " ".join([*prepared["head_setup_commands"], *prepared["worker_setup_commands"]])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda config: config.update(max_worker=3),
        lambda config: config.update(head_node_type="none"),
        lambda config: config["available_node_types"]["extract"].update(min_workers=1000),
        lambda config: config["available_node_types"]["extract"].update(min_worker=1),
    ],
)
def test_the_validation_above_can_fail(cluster, spoil):
    spoil(cluster)
    with pytest.raises(Exception, match=r"max_worker|head_node_type|min_worker"):
        _validated(cluster)


def test_the_nodes_get_this_project_and_the_token(cluster):
    mounts = cluster["file_mounts"]
    project, token = (next(k for k, v in mounts.items() if v == local) for local in (".", "~/.ray/auth_token"))
    home = f"/home/{cluster['auth']['ssh_user']}"
    assert token == f"{home}/.ray/auth_token"
    commands = "\n".join(cluster["setup_commands"]).replace("~", home)
    assert f"--constraint {project}/constraints.txt {project}[pipelines]\n" in commands.replace('"', "")
    assert "RAY_AUTH_MODE=token" in commands
    assert all((ROOT / name).exists() for name in ("constraints.txt", "pyproject.toml"))


def _stages():
    """Name of each stage of the Dockerfile -> what it is made from, and its instructions."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    stages = {}
    for keyword, rest in (line.split(maxsplit=1) for line in text.splitlines() if line.strip()):
        assert keyword in ("FROM", "RUN", "COPY", "WORKDIR", "CMD"), keyword
        if keyword == "FROM":
            parent, name = re.fullmatch(r"(\S+) AS (\w+)", rest).groups()
            stages[name] = (parent, [])
        else:
            stages[name][1].append((keyword, rest))
    return stages


def test_both_images_have_the_pinned_pipelines_and_torch_for_their_machine():
    stages = _stages()
    assert list(stages)[-1] == "cpu"  # what a build without --target takes
    for target, index in (("cpu", ["https://download.pytorch.org/whl/cpu"]), ("cuda", [])):
        parent, steps = stages[target]
        assert parent == "base"
        torch, whole = (step for keyword, step in steps if keyword == "RUN")
        assert re.findall(r"--index-url (\S+)", torch) == index
        assert torch.endswith(" torch torchvision")
        assert whole.endswith(" '.[pipelines]'")
        assert all(step.startswith("pip install --no-cache-dir -c constraints.txt ") for step in (torch, whole))
        (copied,) = (place for place, step in enumerate(steps) if step == ("COPY", ". ./"))
        assert steps.index(("RUN", torch)) < copied < steps.index(("RUN", whole))
    assert ("COPY", "constraints.txt ./") in stages["base"][1]


def test_an_image_gets_the_code_and_the_docs_build_its_targets():
    ignored = {line.strip("/") for line in (ROOT / ".dockerignore").read_text().split()}
    needed = {"vclip", "stores", "pipelines", "configs", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert not ignored & needed
    assert {".git", ".venv"} <= ignored
    named = re.findall(r"docker build --target (\w+)", (ROOT / "docs" / "cluster.md").read_text())
    assert named
    assert set(named) <= set(_stages())


CORES_PER_GPU = 350  # docs/sizing.md


def test_the_head_extracts_nothing_and_gpus_are_there_where_an_encoder_needs_them(cluster, rayjob):
    types = cluster["available_node_types"]
    assert types[cluster["head_node_type"]]["resources"] == {"CPU": 0}
    cores = 32 * types["extract"]["max_workers"]
    assert types["extract"]["node_config"]["InstanceType"] == "c7i.8xlarge"  # of 32 cores
    assert types["embed"]["min_workers"] == types["embed"]["max_workers"] == round(cores / CORES_PER_GPU)
    assert cluster["max_workers"] >= sum(node.get("max_workers", 0) for node in types.values())
    spec = rayjob["spec"]["rayClusterSpec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    (gpus,) = (
        group for group in spec["workerGroupSpecs"] if "nvidia.com/gpu" in _container(group)["resources"]["limits"]
    )
    assert rayjob["spec"]["entrypoint"].endswith("offline.yaml")  # whose encoders need no GPU
    assert gpus["minReplicas"] == gpus["replicas"] == gpus["maxReplicas"] == 0


def _container(group):
    (container,) = group["template"]["spec"]["containers"]
    return container


def test_the_rayjob_has_the_shape_that_kuberay_takes(rayjob):
    assert (rayjob["apiVersion"], rayjob["kind"]) == ("ray.io/v1", "RayJob")
    spec = rayjob["spec"]
    assert set(spec) <= {
        "entrypoint", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit", "runtimeEnvYAML",
        "rayClusterSpec",
    }  # fmt: skip
    groups = [spec["rayClusterSpec"]["headGroupSpec"], *spec["rayClusterSpec"]["workerGroupSpecs"]]
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod, container = group["template"]["spec"], _container(group)
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert len({_container(group)["image"] for group in groups}) == 1
    for group in groups[1:]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_every_ray_is_the_one_that_is_pinned(rayjob):
    (pinned,) = re.findall(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == pinned


def test_ray_takes_the_runtime_environments(rayjob):
    from ray.runtime_env import RuntimeEnv

    given = _read("runtime_env.yaml")
    environment = RuntimeEnv(**{**given, "working_dir": str(ROOT)})
    assert environment["env_vars"] == given["env_vars"]
    assert all((ROOT / name).exists() for name in given["excludes"])
    assert not {"pipelines", "vclip", "stores", "configs"} & set(given["excludes"])
    RuntimeEnv(**yaml.safe_load(rayjob["spec"]["runtimeEnvYAML"]))
    with pytest.raises(TypeError, match="env_vars"):
        RuntimeEnv(env_vars={"AWS_REGION": 2})
