//! Runs Python without network, without a way to write outside its own memory, and within limits of memory, processes
//! and time.
//!
//! The system is seen read-only and only in part; the home of the user is not seen at all. Where the walls cannot be
//! put up nothing is run.

use std::fs::{File, Permissions};
use std::io::{Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How a program ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// It came to its end.
    Passed,
    /// It is no Python; with the reason.
    NoPython(String),
    /// It broke off; with the last line that it wrote about that.
    Failed(String),
    /// It ran too long and was killed.
    TimedOut,
}

/// Where programs stand within the walls.
const FOLDER: &str = "/program";
/// Bytes that a process may map.
const MEMORY: u64 = 1 << 30;
/// Bytes of files that a program may write in all.
const FILES: u64 = 64 << 20;
const PROCESSES: u32 = 48;

/// Runs the code within a module of its own, then the tests, and says by the secret word that the end was reached.
const RUNNER: &str = r"
import sys, os
secret = sys.stdin.readline().strip()
sys.stdin.close()
out = os.dup(1)
os.dup2(2, 1)
with open('/program/code.py', encoding='utf-8') as file: code = file.read()
with open('/program/tests.py', encoding='utf-8') as file: tests = file.read()
try:
    code = compile(code, 'code.py', 'exec')
except (SyntaxError, ValueError) as error:
    os.write(out, b'no python')
    print(type(error).__name__ + ':', error, file=sys.stderr)
    sys.exit(1)
names = {'__name__': 'program'}
exec(code, names)
exec(compile(tests, 'tests.py', 'exec'), names)
os.write(out, secret.encode())
";

/// What must hold within the walls: no interface but the loopback, nothing to write to but the own folder.
const PROBE: &str = r"
import os
with open('/proc/net/dev') as file:
    names = [line.split(':')[0].strip() for line in file if ':' in line]
assert all(name == 'lo' for name in names), names
for folder in ('/', '/usr', '/etc', '/program'):
    try:
        open(os.path.join(folder, 'probe'), 'w')
    except OSError:
        continue
    raise AssertionError(folder + ' can be written')
import resource
assert resource.getrlimit(resource.RLIMIT_AS)[0] <= 1 << 30
children = []
try:
    for _ in range(200):
        children.append(os.fork())
        if children[-1] == 0:
            import time
            time.sleep(60)
            os._exit(0)
    raise AssertionError('processes are not limited')
except BlockingIOError:
    pass
finally:
    import signal
    for child in children:
        os.kill(child, signal.SIGKILL)
";

/// Runs `code` and then `tests`. The error is why nothing can be run on this machine.
pub(super) fn run(code: &str, tests: &str, limit: Duration) -> Result<Outcome, String> {
    static PROBED: OnceLock<Result<(), String>> = OnceLock::new();
    PROBED.get_or_init(probe).clone()?;
    run_unprobed(code, tests, limit)
}

fn probe() -> Result<(), String> {
    match run_unprobed(PROBE, "", Duration::from_secs(20))? {
        Outcome::Passed => Ok(()),
        Outcome::NoPython(why) | Outcome::Failed(why) => Err(format!("bwrap cannot shut programs in: {why}")),
        Outcome::TimedOut => Err("bwrap cannot shut programs in: the first one did not end".into()),
    }
}

fn run_unprobed(code: &str, tests: &str, limit: Duration) -> Result<Outcome, String> {
    let io = |error: std::io::Error| format!("a program could not be laid out: {error}");
    let folder = tempfile::tempdir().map_err(io)?;
    for (name, text) in [("runner.py", RUNNER), ("code.py", code), ("tests.py", tests)] {
        fs_err::write(folder.path().join(name), text).map_err(io)?;
    }
    // The user that a program of root runs as must be able to read it.
    fs_err::set_permissions(folder.path(), Permissions::from_mode(0o755)).map_err(io)?;
    let (mut said, mut stated) = (tempfile::tempfile().map_err(io)?, tempfile::tempfile().map_err(io)?);
    // The name of the folder is random, and not seen within the walls.
    let secret = blake3::hash(folder.path().as_os_str().as_encoded_bytes()).to_hex().to_string();
    let mut given = tempfile::tempfile().map_err(io)?;
    std::io::Write::write_all(&mut given, format!("{secret}\n").as_bytes()).map_err(io)?;
    given.rewind().map_err(io)?;
    let mut command = command(folder.path(), limit, user_of(&secret));
    command.stdin(given).stdout(stated.try_clone().map_err(io)?).stderr(said.try_clone().map_err(io)?);
    let child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "bwrap (package bubblewrap), which shuts programs in, is not installed".to_owned()
        }
        _ => format!("bwrap, which shuts programs in, could not be started: {error}"),
    })?;
    let Some(ended_well) = wait(child, limit).map_err(io)? else { return Ok(Outcome::TimedOut) };
    let stated = tail(&mut stated).map_err(io)?;
    let said = tail(&mut said).map_err(io)?;
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("ended early").trim().to_owned();
    if ended_well && stated == secret {
        return Ok(Outcome::Passed);
    }
    if stated == "no python" {
        return Ok(Outcome::NoPython(last));
    }
    // The walls themselves speak in their own name.
    match last.split(':').next() {
        Some("bwrap" | "prlimit" | "setpriv") => Err(format!("the program could not be shut in: {last}")),
        _ => Ok(Outcome::Failed(last)),
    }
}

/// A user that nothing else runs as, so that no program takes the processes of another.
fn user_of(secret: &str) -> u32 {
    0x4000_0000 | u32::from_str_radix(secret.get(..7).unwrap_or_default(), 16).unwrap_or(0)
}

fn command(folder: &Path, limit: Duration, user: u32) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]);
    // The kernel does not count the processes of root, in whatever space of users: within the walls root becomes a user of
    // the program alone.
    let root = is_root();
    if root {
        command.args(["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]);
        command.args(["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]);
    } else {
        command.arg("--unshare-all");
    }
    for system in ["/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/alternatives", "/etc/ld.so.cache"] {
        command.args(["--ro-bind-try", system, system]);
    }
    command.args(["--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin", "--setenv", "LANG", "C.UTF-8"]);
    command.args(["--setenv", "PYTHONHASHSEED", "0", "--setenv", "HOME", "/scratch"]);
    command.arg("--ro-bind").arg(folder).arg(FOLDER);
    command.args(["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"]);
    command.args(["--perms", "1777", "--size", &FILES.to_string(), "--tmpfs", "/scratch", "--chdir", "/scratch"]);
    command.args(["--remount-ro", "/", "--"]);
    command.args(["prlimit", &format!("--as={MEMORY}"), &format!("--nproc={PROCESSES}"), &format!("--fsize={FILES}")]);
    command.args([&format!("--cpu={}", limit.as_secs() + 2), "--core=0", "--nofile=256", "--"]);
    if root {
        command.args(["setpriv", &format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--"]);
    }
    command.args(["python3", "-I", "-B", &format!("{FOLDER}/runner.py")]);
    command
}

fn is_root() -> bool {
    fs_err::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Whether the program ended well; `None` where it had to be killed. With the process that is waited for its whole
/// space of processes goes.
fn wait(mut child: Child, limit: Duration) -> std::io::Result<Option<bool>> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause.min(end.saturating_duration_since(Instant::now())));
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The last 64 KiB of what was written.
fn tail(file: &mut File) -> std::io::Result<String> {
    const MOST: u64 = 1 << 16;
    let length = file.seek(std::io::SeekFrom::End(0))?;
    file.seek(std::io::SeekFrom::Start(length.saturating_sub(MOST)))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
