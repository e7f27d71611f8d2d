//! A limit of time for what must not hang, generous enough for a machine under load.

use std::sync::mpsc;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(2);

/// Runs something on a thread of its own and fails where it panics or does not end.
pub fn ends<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = sender.send(run());
    });
    match receiver.recv_timeout(LIMIT) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: does not end"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("it has sent its result"),
        },
    }
}
