"""The Debian package: what is in it, that two builds are one, and that what it installs runs."""

import gzip
import os
import re
import shutil
import subprocess

import pytest

from weir_process import BINARY, ROOT, run_weir

if not shutil.which("dpkg-shlibdeps"):
    pytest.skip("there is no dpkg-dev", allow_module_level=True)


def build(folder):
    # Compressing would take longer than all else.
    environment = dict(os.environ, SOURCE_DATE_EPOCH="1700000000", DPKG_DEB_COMPRESSOR_TYPE="none")
    done = subprocess.run(
        [ROOT / "packaging/deb/build", BINARY, folder], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def read(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def root(package, tmp_path_factory):
    """What the package would put into the root of the file system."""
    folder = tmp_path_factory.mktemp("root")
    subprocess.run(["dpkg-deb", "--extract", package, folder], check=True)
    return folder


def test_two_builds_are_the_same_octets(package, tmp_path):
    with open(package, "rb") as one, open(build(tmp_path), "rb") as other:
        assert one.read() == other.read()


def test_the_package_says_what_it_is_and_needs(package, root):
    fields = dict(re.findall(r"^([\w-]+): (.*)$", read("dpkg-deb", "--field", package), re.M))
    assert fields["Package"] == "weir"
    assert f"weir {fields['Version']}\n" == run_weir("--version").stdout
    assert fields["Architecture"] == read("dpkg", "--print-architecture").strip()
    assert {"libc6", "liburing2", "libyaml-0-2"} <= {need.split()[0] for need in fields["Depends"].split(", ")}
    changelog = gzip.decompress((root / "usr/share/doc/weir/changelog.gz").read_bytes()).decode()
    assert changelog.startswith(f"weir ({fields['Version']}) ") and "14 Nov 2023" in changelog
    assert read("dpkg-deb", "--info", package, "conffiles") == "/etc/weir/weir.yaml\n"
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n"], input=read("dpkg-deb", "--info", package, script), text=True, check=True)
    owners = {line.split()[1] for line in read("dpkg-deb", "--contents", package).splitlines()}
    assert owners == {"root/root"}


def test_every_file_is_where_debian_looks_for_it(package, root):
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    share = "usr/share"
    pages = {f"{share}/man/man{page[-1]}/{page}.gz" for page in run_weir("--man", "--list").stdout.split()}
    examples = {file for file in files if file.startswith(f"{share}/doc/weir/examples/")}
    assert f"{share}/doc/weir/examples/http.yaml" in examples
    assert files - examples == pages | {
        "usr/bin/weir", "etc/weir/weir.yaml", "lib/systemd/system/weir.service",
        f"{share}/bash-completion/completions/weir", f"{share}/zsh/vendor-completions/_weir",
        f"{share}/fish/vendor_completions.d/weir.fish", f"{share}/doc/weir/copyright",
        f"{share}/doc/weir/changelog.gz"}
    sums = dict(reversed(line.split("  ")) for line in read("dpkg-deb", "--info", package, "md5sums").splitlines())
    assert set(sums) == files - {"etc/weir/weir.yaml"}
    subprocess.run(["md5sum", "--quiet", "--check"], cwd=root, check=True, text=True, input="".join(
        f"{checksum}  {file}\n" for file, checksum in sums.items()))
    unit = (root / "lib/systemd/system/weir.service").read_text()
    assert "ExecStart=/usr/bin/weir run -c /etc/weir/weir.yaml " in unit


def test_the_installed_program_runs_with_the_installed_configuration(root):
    program = root / "usr/bin/weir"
    assert read(program, "--version") == run_weir("--version").stdout
    configuration = root / "etc/weir/weir.yaml"
    schema = configuration.read_text().split("$schema=")[1].split()[0]
    assert (root / schema[1:]).is_file()
    shown = read(program, "check", configuration)
    assert "bind: 127.0.0.1:8000" in shown
    assert read(program, "--help") == run_weir("--help").stdout
