//! The rows without the peers, which need not be built for it.
//!
//! ```text
//! alone                              # the names of the rows
//! alone time [ROUNDS [ROW [CALLS]]]  # ns per request
//! alone count ROW BATCHES            # allocations per request; under callgrind, instructions
//! ```

use tollgate_benches::{rows, timed};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match words[..] {
        ["time", ref words @ ..] => drop(runtime.block_on(timed(rows::all(), words))),
        ["count", name, batches] => runtime.block_on(count(name, batches.parse().expect("a number"))),
        _ => rows::all().iter().for_each(|entry| println!("{}", entry.name)),
    }
}

async fn count(name: &str, batches: usize) {
    let entry = rows::all().into_iter().find(|entry| entry.name == name).expect("a row of this name");
    println!("{:.2}", entry.make().await.allocations(batches));
}
