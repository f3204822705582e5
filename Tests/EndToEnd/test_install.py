"""`make install` and `make uninstall`, into a folder that is no root."""

import subprocess

from weir_process import BINARY, ROOT, run_weir


def make(target, folder, *variables):
    done = subprocess.run(
        ["make", "--no-print-directory", target, f"DESTDIR={folder}", f"WEIR={BINARY}", *variables], cwd=ROOT,
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_install_puts_everything_there_and_uninstall_takes_it_away(tmp_path):
    make("install", tmp_path, "PREFIX=/opt/weir")
    share = "opt/weir/share"
    installed = files(tmp_path)
    for page in run_weir("--man", "--list").stdout.split():
        place = f"{share}/man/man{page[-1]}/{page}"
        assert (tmp_path / place).read_text() == run_weir("--man", page).stdout
        installed.remove(place)
    for shell, place in (
        ("bash", f"{share}/bash-completion/completions/weir"), ("zsh", f"{share}/zsh/site-functions/_weir"),
        ("fish", f"{share}/fish/vendor_completions.d/weir.fish"),
    ):
        assert (tmp_path / place).read_text() == run_weir("completions", shell).stdout
        installed.remove(place)
    installed = {file for file in installed if not file.startswith(f"{share}/doc/weir/examples/")}
    assert installed == {"opt/weir/bin/weir", "opt/weir/lib/systemd/system/weir.service", "etc/weir/weir.yaml"}
    unit = (tmp_path / "opt/weir/lib/systemd/system/weir.service").read_text()
    assert "ExecStart=/opt/weir/bin/weir run -c /etc/weir/weir.yaml " in unit

    configuration = tmp_path / "etc/weir/weir.yaml"
    configuration.write_text("# mine\n")
    make("install", tmp_path, "PREFIX=/opt/weir")
    make("uninstall", tmp_path, "PREFIX=/opt/weir")
    assert files(tmp_path) == {"etc/weir/weir.yaml"} and configuration.read_text() == "# mine\n"
