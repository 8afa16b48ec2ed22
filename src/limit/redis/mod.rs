//! Buckets that several processes share, on a server of Redis or Valkey.

mod script;
#[cfg(test)]
mod test_server;
