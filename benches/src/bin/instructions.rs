//! One row, to be run under callgrind: see `benches/instructions`.
//!
//! Prints the names of all rows; or, for a row and a number of batches, its allocations per request.

use tollgate_benches::rows;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, batches] = &words[..] else {
        return rows::all().iter().for_each(|entry| println!("{}", entry.name));
    };
    let entry = rows::all().into_iter().find(|entry| entry.name == *name).expect("a row of this name");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut row = runtime.block_on(entry.make());
    let _runtime = runtime.enter();
    println!("{:.2}", row.allocations(batches.parse().expect("a number")));
}
