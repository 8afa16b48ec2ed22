//! What the gate logs while a test listens, on the thread of that test.

use std::cell::RefCell;
use std::io::Write;
use std::sync::Once;

use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

thread_local! {
    static LINES: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Listens until it is dropped. A test that listens runs its server on its own thread, as
/// `#[tokio::test]` does unless it is told otherwise.
pub(crate) struct Log(());

impl Log {
    pub(crate) fn listen() -> Self {
        // One subscriber for the process: with one for a thread, what another thread logs first is
        // cached as of interest to nobody.
        static INIT: Once = Once::new();
        INIT.call_once(|| {
            let listens = dynamic_filter_fn(|_, _| LINES.with_borrow(Option::is_some));
            let lines = fmt::layer().with_writer(|| Writer).with_ansi(false).with_filter(listens);
            tracing_subscriber::registry().with(lines).init();
        });
        LINES.set(Some(Vec::new()));
        Self(())
    }

    /// What was logged since it was last asked.
    pub(crate) fn take(&self) -> String {
        String::from_utf8(LINES.replace(Some(Vec::new())).unwrap()).unwrap()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct Writer;

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.get_or_insert_default().extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
