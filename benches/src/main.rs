//! What a request costs, side by side with what a user would use otherwise.
//!
//! ```text
//! cargo run --release --manifest-path benches/Cargo.toml [ROUNDS [ROW [CALLS]]]
//! cargo run --release --manifest-path benches/Cargo.toml clients | policies | flood
//! benches/wire             # end to end: needs wrk
//! benches/instructions     # needs valgrind
//! ```
//!
//! Every row is a whole service, called in process without a socket. Rows take turns in rounds,
//! so that a machine that slows down slows all of them; the median of the rounds counts, and
//! ratios within one run. Allocations are counted by the allocator.

mod flood;
mod growth;
mod peers;
mod table;
mod wire;

use tollgate_benches::{BATCH, Entry, rows, timed};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match words[..] {
        ["clients"] => growth::clients(),
        ["memory", store, clients] => growth::memory(store, clients.parse().expect("a number")),
        ["policies"] => runtime.block_on(growth::policies()),
        ["flood"] => flood::flood(),
        ["serve", row, address] => runtime.block_on(wire::serve(row, address)),
        _ => table::goals(&runtime.block_on(timed(entries(), &words))),
    }
}

/// The rows in process.
fn entries() -> Vec<Entry> {
    let mut entries = rows::all();
    entries.extend(peers::rows());
    entries
}
