//! Programs that this one runs.
//!
//! Place in the flow: every other module starts programs through it. Invariant: nothing outlives this program: a background
//! program hangs on a pipe that closes with us, whatever ends us, and a program over its time limit is killed with its children.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::timing::Stopwatch;

/// Time between two looks at something that is being waited for.
///
/// # Source
/// A guess: short beside a JVM's start (2 to 5 s), long beside the look itself.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long a background program gets between TERM and KILL.
///
/// # Source
/// Kafka was measured to stop in 1.7 to 2.4 s on an idle machine.
const STOP_GRACE_SECONDS: u64 = 20;

/// Lines of output in flight between a program and its reader.
const LINES_IN_FLIGHT_MAX: usize = 1024;

/// Looks again and again until `probe` gives something, at most for `limit`.
///
/// # Errors
/// What `probe` returns as an error, or that the time is over.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let watch = Stopwatch::start();
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if watch.elapsed() > limit {
            bail!("{what}: not after {} s", limit.as_secs());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Runs a program to its end with our output.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = describe(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown}: {status}");
    }
    Ok(())
}

/// Runs a program to its end and returns its standard output.
///
/// # Errors
/// When it cannot be started or does not succeed; the message carries the end of its error output.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let shown = describe(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{shown}: {}\n{}", output.status, errors.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program, hands each line of its standard output to `on_line`, and kills it with its children at the limit.
///
/// # Errors
/// When it cannot be started or was killed at the limit.
pub(crate) fn stream(
    command: &mut Command,
    limit: Duration,
    mut on_line: impl FnMut(&str),
) -> Result<ExitStatus> {
    let shown = describe(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let output = child.stdout.take().context("standard output of a child")?;
    let (sender, lines) = mpsc::sync_channel::<String>(LINES_IN_FLIGHT_MAX);
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                break;
            }
        }
    });
    let watch = Stopwatch::start();
    loop {
        match lines.recv_timeout(limit.saturating_sub(watch.elapsed())) {
            Ok(line) => on_line(&line),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                kill_tree(child.id());
                child.wait()?;
                bail!("{shown}: killed after {} s", limit.as_secs());
            }
        }
    }
    let status = child.wait()?;
    if reader.join().is_err() {
        bail!("{shown}: the reader of its output failed");
    }
    Ok(status)
}

/// The program and its arguments, shortened for messages.
fn describe(command: &Command) -> String {
    let mut words = vec![file_name(command.get_program())];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    let text = words.join(" ");
    if text.chars().count() > 120 {
        format!("{}...", text.chars().take(117).collect::<String>())
    } else {
        text
    }
}

/// The last component of a path.
fn file_name(path: &OsStr) -> String {
    Path::new(path)
        .file_name()
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// The program of that name in the search path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Kills a process and everything it started. Each is stopped before its children are looked for, so that it starts no new one.
fn kill_tree(pid: u32) {
    let mut doomed = vec![pid];
    let mut index = 0;
    while let Some(parent) = doomed.get(index).copied() {
        signal("STOP", parent);
        doomed.extend(children(parent));
        index += 1;
    }
    for pid in doomed {
        signal("KILL", pid);
    }
}

/// Processes whose parent is `pid`; empty where there is no `/proc`.
fn children(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|candidate| {
            stat_field(*candidate, 1).is_some_and(|parent| parent == pid.to_string())
        })
        .collect()
}

/// A field of `/proc/PID/stat` after the program's name: 0 is the state, 1 the parent.
fn stat_field(pid: u32, index: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(index).map(str::to_owned)
}

/// Sends a signal; a process that is gone is no error.
fn signal(name: &str, pid: u32) {
    // Whether it was delivered shows in what follows, so the status says nothing new.
    drop(
        Command::new("kill")
            .args([format!("-{name}"), pid.to_string()])
            .stderr(Stdio::null())
            .status(),
    );
}

/// Whether a process runs and is not a zombie.
fn is_running(pid: u32) -> bool {
    if Path::new("/proc/self/stat").exists() {
        return stat_field(pid, 0).is_some_and(|state| state != "Z");
    }
    Command::new("kill")
        .args(["-0", &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A program in the background that ends with us.
///
/// A shell stands between: it reads from a pipe that we hold, and when the pipe closes (we dropped it, panicked, or were
/// killed) it sends TERM and after [`STOP_GRACE_SECONDS`] KILL.
#[derive(Debug)]
pub(crate) struct Background {
    /// What it is, for messages.
    name: String,
    /// The shell.
    shell: Child,
    /// The pipe; closing it ends the program.
    leash: Option<ChildStdin>,
    /// Holds the program's id, so that a later run finds what an earlier one left.
    pid_file: PathBuf,
}

/// The shell's part. `$1` is the pid file, `$2` the seconds of grace, the rest the program.
const LEASH_SCRIPT: &str = r#"
pid_file=$1; grace=$2; shift 2
trap : INT TERM HUP
"$@" &
pid=$!
echo "$pid" > "$pid_file"
read -r _
kill -TERM "$pid" 2>/dev/null
( i=0; while [ "$i" -lt "$grace" ] && kill -0 "$pid" 2>/dev/null; do sleep 1; i=$((i + 1)); done; kill -KILL "$pid" 2>/dev/null ) &
killer=$!
wait "$pid"
kill "$killer" 2>/dev/null
rm -f "$pid_file"
"#;

impl Background {
    /// Starts a program with its output in `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &Command, pid_file: &Path, log: &Path) -> Result<Self> {
        let name = file_name(command.get_program());
        let output = fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
        let mut shell = Command::new("sh")
            .args(["-c", LEASH_SCRIPT, "leash"])
            .arg(pid_file)
            .arg(STOP_GRACE_SECONDS.to_string())
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start sh")?;
        let leash = shell.stdin.take();
        Ok(Self {
            name,
            shell,
            leash,
            pid_file: pid_file.to_owned(),
        })
    }

    /// Whether the program has been started and has not ended.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn ensure_running(&self) -> Result<()> {
        match read_pid(&self.pid_file) {
            Some(pid) if !is_running(pid) => bail!("{} has ended", self.name),
            Some(_) | None => Ok(()),
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.leash.take());
        if let Err(error) = self.shell.wait() {
            println!("cannot wait for {}: {error}", self.name);
        }
    }
}

/// The process id in a file.
fn read_pid(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Ends what an earlier run left behind: the process of the pid file, if `mark` still is in its command line.
///
/// # Errors
/// When it does not end, or the file cannot be removed.
pub(crate) fn end_leftover(pid_file: &Path, mark: &str) -> Result<()> {
    let Some(pid) = read_pid(pid_file) else {
        return Ok(());
    };
    let is_ours = fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark));
    if is_ours && is_running(pid) {
        println!("ending process {pid} of an earlier run");
        signal("KILL", pid);
        wait_for("end of the earlier run", Duration::from_secs(10), || {
            Ok((!is_running(pid)).then_some(()))
        })?;
    }
    fs::remove_file(pid_file).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test, emptied.
    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_background_program_ends_when_its_handle_is_dropped() {
        let dir = scratch("leash");
        let pid_file = dir.join("pid");
        let mut command = Command::new("sleep");
        command.arg("600");
        let background = Background::start(&command, &pid_file, &dir.join("log")).unwrap();
        let pid = wait_for("pid file", Duration::from_secs(10), || {
            Ok(read_pid(&pid_file))
        })
        .unwrap();
        assert!(is_running(pid));
        background.ensure_running().unwrap();
        drop(background);
        assert!(!is_running(pid));
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_program_over_its_limit_is_killed_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 601 & echo $!; wait"]);
        let mut child = None;
        let result = stream(&mut command, Duration::from_secs(2), |line| {
            child = line.trim().parse::<u32>().ok();
        });
        assert!(result.unwrap_err().to_string().contains("killed after 2 s"));
        let child = child.unwrap();
        wait_for("end of the child", Duration::from_secs(10), || {
            Ok((!is_running(child)).then_some(()))
        })
        .unwrap();
    }

    #[test]
    fn waiting_ends_at_the_limit() {
        let result = wait_for("never", Duration::ZERO, || Ok(None::<()>));
        assert_eq!(result.unwrap_err().to_string(), "never: not after 0 s");
    }
}
