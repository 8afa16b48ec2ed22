//! What the address of a Redis server says.

/// What the address of a server says.
pub(super) struct Address {
    pub(super) is_encrypted: bool,
    /// A socket of this machine.
    pub(super) is_socket: bool,
    pub(super) has_user: bool,
    pub(super) has_password: bool,
    pub(super) database: i64,
}
