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

use tollgate_benches::{BATCH, Entry, chosen, rows};

/// What was measured of a row.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) ns: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) allocations: f64,
}

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
        _ => runtime.block_on(timed(&words)),
    }
}

/// The rows in process.
fn entries() -> Vec<Entry> {
    let mut entries = rows::all();
    entries.extend(peers::rows());
    entries
}

async fn timed(words: &[&str]) {
    let rounds = words.first().and_then(|n| n.parse().ok()).unwrap_or(15);
    let calls = words.get(2).and_then(|n| n.parse::<usize>().ok());
    let mut rows = Vec::new();
    for entry in chosen(entries(), words.get(1).copied().unwrap_or_default()) {
        let mut row = entry.make().await;
        row.calls = calls.unwrap_or(row.calls);
        row.round(0);
        rows.push(row);
    }
    let mut samples = vec![Vec::new(); rows.len()];
    for round in 0..rounds {
        for (row, samples) in rows.iter_mut().zip(&mut samples) {
            samples.push(row.round(round * row.calls));
        }
    }
    let mut figures = Vec::new();
    for (row, mut samples) in rows.iter_mut().zip(samples) {
        samples.sort_by(f64::total_cmp);
        figures.push(Figure {
            name: row.name.clone(),
            ns: samples[samples.len() / 2],
            least: samples[0],
            most: samples[samples.len() - 1],
            allocations: row.allocations(2),
        });
    }
    table::print(&figures);
}
