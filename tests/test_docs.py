"""What the READMEs and the site tell one to type works as it is written."""

import importlib
import pathlib
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.tensorflow_backend

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    ROOT / "examples/README.md",
    ROOT / "saved_models/README.md",
    *(ROOT / "docs").rglob("*.md"),
]
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in PAGES}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"python\s+examples/(\w+)\.py([^`|]*)")
SERVER = "http://localhost:8501"


@pytest.fixture
def server():
    pytest.importorskip("tensorflow_serving")
    from serving import mock_server

    server = mock_server.MockServer(ROOT / "saved_models")
    yield server
    server.stop()


@pytest.mark.parametrize(
    "page", [page for page, text in TEXTS.items() if BLOCK.search(text)]
)
def test_python(page, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "saved_models").symlink_to(ROOT / "saved_models")
    names = {}
    for block in BLOCK.findall(TEXTS[page]):
        if SERVER in block:
            address = request.getfixturevalue("server").rest
            block = block.replace(SERVER, address)
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize(
    "page", [page for page, text in TEXTS.items() if COMMAND.search(text)]
)
def test_scripts_and_flags(page):
    for name, rest in COMMAND.findall(TEXTS[page]):
        if name == "TASK":  # Of whoever adds one.
            continue
        parser = importlib.import_module(name).build_parser()
        # To the end of the command: an empty line, or the next command.
        command = re.split(r"\n\s*\n|\npython|```", rest)[0]
        for flag in re.findall(r"(?<=\s)--[\w-]+", command):
            assert flag in parser.format_help(), f"{name}.py {flag}"


def test_readme_on_pypi():
    """Its links lead to files of the repository, whose address is the same."""
    setup = [sys.executable, ROOT / "setup.py", "--url", "--long-description"]
    printed = subprocess.run(setup, check=True, capture_output=True, text=True)
    address, _, readme = printed.stdout.partition("\n")
    assert (f"repo_url: {address}\n") in (ROOT / "mkdocs.yml").read_text()
    files = re.findall(rf"\]\({address}/(raw|blob)/main/([^)#]+)", readme)
    assert len(files) == len(re.findall(r"\]\((?!\w+:)", TEXTS["README.md"]))
    for kind, path in files:
        assert (ROOT / path).is_file(), path
        assert (kind == "raw") == path.endswith((".png", ".gif")), path
    assert not re.search(r"\]\((?!https://)", readme)
    others = TEXTS | {
        "tutorial": (ROOT / "examples/tutorial.ipynb").read_text()
    }
    for page, text in others.items():
        names = re.findall(r"github(?:\.com)?/(\w+/keras_coordconv)", text)
        wrong = {name for name in names if not address.endswith(name)}
        assert not wrong, page


def test_compose_file():
    """The services of docs/serving.md are those of its `docker run`."""
    yaml = pytest.importorskip("yaml")
    text = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
    (block,) = re.findall("```yaml\n(.+?)```", text, re.DOTALL)
    (command,) = re.findall(r"^docker run .+", text, re.MULTILINE)
    (service,) = yaml.safe_load(block)["services"].values()
    assert command.split()[-2:] == [service["image"], service["command"]]
    assert re.findall(r"-p (\S+)", command) == service["ports"]
    assert service["volumes"] == ["./saved_models:/models:ro"]


def test_files_for_clusters():
    """The Slurm script and the JobSet start the script with flags it has."""
    import imagenet_resnet50

    from keras_coordconv.experiments.training import distribution

    yaml = pytest.importorskip("yaml")
    text = TEXTS["docs/experiments/imagenet.md"]
    (job,) = re.findall("```sh\n(.+?)```", text, re.DOTALL)
    subprocess.run(["bash", "-n"], input=job, text=True, check=True)
    options = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", job, re.MULTILINE))
    # One process per GPU.
    assert options["gres"] == f"gpu:{options['ntasks-per-node']}"
    command = re.search("^srun .*?python (.+)$", job, re.MULTILINE)[1].split()

    (block,) = re.findall("```yaml\n(.+?)```", text, re.DOTALL)
    jobset = yaml.safe_load(block)
    (replicated,) = jobset["spec"]["replicatedJobs"]
    indexed = replicated["template"]["spec"]
    (container,) = indexed["template"]["spec"]["containers"]
    variables = {x["name"]: x.get("value") for x in container["env"]}
    assert set(distribution.KERAS_VARIABLES) < set(variables)
    address, processes, _ = (variables[x] for x in distribution.KERAS_VARIABLES)
    assert int(processes) == indexed["parallelism"] == indexed["completions"]
    names = jobset["metadata"]["name"], replicated["name"]
    assert address == f"{'-'.join(names)}-0-0.{names[0]}:1234"
    assert indexed["completionMode"] == "Indexed"
    volumes = {x["name"] for x in indexed["template"]["spec"]["volumes"]}
    assert {x["name"] for x in container["volumeMounts"]} == volumes

    parser = imagenet_resnet50.build_parser()
    for script, *flags in (command, container["command"][1:]):
        assert (ROOT / script).exists()
        assert parser.parse_args(flags).resume
