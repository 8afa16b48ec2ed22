//! What may be wrong with `[store]`.

use crate::policy::problem::problems;

/// `url` in words: what to write.
const URL_FORM: &str =
    "write `redis://host:6379`, or `rediss://host:6379` for TLS, without a part behind `#`";

problems! {
    /// What may be wrong with [store].
    pub(super) enum StoreFault: Fault {
        /// `kind = "redis"` in a program without the client.
        RedisOff => {
            message: "this program was built without shared buckets",
            label: "cannot be used",
            help: "build it with the feature `redis` of `tollgate`, or use `kind = \"memory\"`: every process then keeps buckets of its own",
        }
        /// A setting of shared stores beside buckets in memory.
        SettingOfRedis { name: &'static str } => {
            message: "`{name}` belongs to a shared store",
            label: "has no effect on buckets in memory",
            help: "write `kind = \"redis\"` too, or remove it",
        }
        /// `kind = "redis"` alone.
        NoServer => {
            message: "[store] names no server",
            label: "needs an address",
            help: "write `url = \"redis://host:6379\"`, or name the variable that holds it, `url_env = \"REDIS_URL\"`, or the nodes of a cluster, `cluster = [\"redis://host:6379\"]`",
        }
        /// Two of `url`, `url_env` and `cluster`.
        SeveralPlaces { first: &'static str, second: &'static str } => {
            message: "`{first}` and `{second}` both name servers",
            label: "names servers beside `{first}`",
            help: "keep one of them",
        }
        /// A text that is not the address of a server.
        NotAUrl { key: &'static str } => {
            message: "`{key}` holds what is not the address of a Redis server",
            label: "is not a valid address",
            help: { URL_FORM },
        }
        /// A password in the policy.
        PasswordInPolicy { key: &'static str } => {
            message: "`{key}` holds a password",
            label: "is a secret",
            help: { match *key {
                "url" => "put the address into the environment and name the variable, `url_env = \"REDIS_URL\"`, or write `username` and `password_env` beside it",
                _ => "leave it out here, and write `username` and `password_env` beside the nodes",
            } },
        }
        /// A variable whose content is not an address.
        VariableNotAUrl => {
            message: "the variable of `url_env` does not hold the address of a Redis server",
            label: "cannot be read",
            help: "set it to `redis://user:password@host:6379`, or `rediss://...` for TLS, with special characters of the password percent-encoded",
        }
        /// A text that is no name of a variable.
        NotAVariable { key: &'static str } => {
            message: "`{key}` is the name of an environment variable",
            label: "is not a name of capital letters, digits and `_`",
            help: "name the variable here, and put the secret itself into the environment",
        }
        /// A variable that the environment lacks.
        VariableNotSet { key: &'static str, variable: String } => {
            message: "the environment has no variable `{variable}`",
            label: "is not set",
            help: "set it before the gate starts; `tollgate check --without-secrets` checks the rest without it",
        }
        /// `cluster = []`.
        EmptyCluster => {
            message: "`cluster` is empty",
            label: "names no node",
            help: "name a few nodes, `cluster = [\"redis://a:6379\", \"redis://b:6379\"]`: the others are learnt from them",
        }
        /// An address that no node of a cluster has.
        OddNode { trouble: &'static str } => {
            message: "this is not the address of a node of a cluster",
            label: "{trouble}",
            help: "write `redis://host:6379` for each node, or `rediss://host:6379` for each; the user goes into `username` and `password_env`",
        }
        /// A user beside an address that names one.
        LoginTwice { key: &'static str } => {
            message: "`{key}` names a user or a password already",
            label: "is said twice",
            help: "keep the user and the password in one place",
        }
        /// `username` alone.
        UserWithoutPassword => {
            message: "`username` needs a password",
            label: "cannot log in",
            help: "name the variable that holds it: `password_env = \"REDIS_PASSWORD\"`",
        }
        /// A key of the hash that could be guessed.
        ShortHashKey { least: usize } => {
            message: "the hash key has fewer than {least} bytes",
            label: "is too short",
            help: "set the variable to random text: `openssl rand -hex 32`",
        }
        /// `ca_file` beside an address without TLS.
        CaWithoutTls { key: &'static str } => {
            message: "`ca_file` has no effect: `{key}` does not use TLS",
            label: "vouches for nobody",
            help: "write `rediss://` in the address, or remove it",
        }
        /// A `ca_file` that holds no certificates.
        CaFile => {
            message: "the file of `ca_file` cannot be used",
            label: "holds no certificate",
            help: "name a PEM file with the certificates of the authorities that vouch for the server: `-----BEGIN CERTIFICATE-----`",
        }
        /// A deadline of zero, or one that no request should wait.
        Deadline => {
            message: "`deadline` is out of range",
            label: "is out of range",
            help: "it is from `1ms` to `5s`: as long as a request may wait for the store, mostly a few milliseconds",
        }
    }
}
