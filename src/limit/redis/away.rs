//! Why the store did not decide.

use std::fmt;

use redis::RedisError;

/// Why the store did not decide about a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Away {
    /// It did not answer in time. What was asked may have been done.
    Late,
    /// Too many decisions wait for it already.
    Crowded,
    /// There is no connection, or it broke off.
    Unreachable,
    /// TLS does not accept its certificate.
    NotTrusted,
    /// The password or the user is not right.
    NotAuthenticated,
    /// The user may not run the script, or not on these keys.
    NotPermitted,
    /// It reads its data from disk.
    Loading,
    /// It is a replica, or became one.
    ReadOnly,
    /// It has no memory for more, or cannot write to its disk.
    Full,
    /// The cluster, or the primary of a replica, is down.
    ClusterDown,
    /// The slot has moved to another server of the cluster, or is moving.
    Moving,
    /// Of the keys of one call some have moved to another server, and others have not.
    HalfMoved,
    /// A script that is not ours keeps it busy.
    Busy,
    /// What it answered is not what the script replies.
    Unintelligible,
    /// What the key holds is no bucket.
    Broken,
}

impl Away {
    /// What an error of the client says.
    pub(super) fn of(error: &RedisError) -> Self {
        let text = error.detail().unwrap_or_default();
        let code = code_within_script(text).or(error.code()).unwrap_or_default();
        match code {
            "LOADING" => Self::Loading,
            "READONLY" => Self::ReadOnly,
            "OOM" | "MISCONF" | "NOREPLICAS" => Self::Full,
            "NOPERM" => Self::NotPermitted,
            "NOAUTH" | "WRONGPASS" => Self::NotAuthenticated,
            "CLUSTERDOWN" | "MASTERDOWN" => Self::ClusterDown,
            "MOVED" | "ASK" => Self::Moving,
            "TRYAGAIN" => Self::HalfMoved,
            "BUSY" => Self::Busy,
            // Redis says it so where a script is not allowed a command or a key.
            _ if text.contains("ACL failure") || text.contains("user executing the script") => {
                Self::NotPermitted
            }
            _ if error.kind() == redis::ErrorKind::AuthenticationFailed => Self::NotAuthenticated,
            _ if error.is_timeout() => Self::Late,
            _ if error.is_io_error() || error.is_connection_dropped() => Self::Unreachable,
            _ => Self::Unintelligible,
        }
    }

    /// The value of the label `why`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Crowded => "crowded",
            Self::Unreachable => "unreachable",
            Self::NotTrusted => "not_trusted",
            Self::NotAuthenticated => "not_authenticated",
            Self::NotPermitted => "not_permitted",
            Self::Loading => "loading",
            Self::ReadOnly => "read_only",
            Self::Full => "full",
            Self::ClusterDown => "cluster_down",
            Self::Moving => "moving",
            Self::HalfMoved => "half_moved",
            Self::Busy => "busy",
            Self::Unintelligible => "unintelligible",
            Self::Broken => "broken",
        }
    }
}

/// A clause about the server.
impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Late => "it does not answer within the deadline",
            Self::Crowded => "too many decisions wait for it",
            Self::Unreachable => "there is no connection to it",
            Self::NotTrusted => {
                "its certificate is not accepted (see `ca_file`, and the host name of the address)"
            }
            Self::NotAuthenticated => "it does not accept the user or the password",
            Self::NotPermitted => {
                "its user may not run the script (EVALSHA, EVAL, SCRIPT LOAD, GET, SET, DEL, TIME, in a \
                 cluster ASKING, on keys of the prefix)"
            }
            Self::Loading => "it is loading its data",
            Self::ReadOnly => "it is a replica, which takes no writes",
            Self::Full => "it takes no writes: its memory is full, or its disk cannot be written to",
            Self::ClusterDown => "its cluster, or its primary, is down",
            Self::Moving => "the slot is moving to another server",
            Self::HalfMoved => "the slot is moving to another server, and keys of one decision are on both",
            Self::Busy => "another script keeps it busy",
            Self::Unintelligible => "its answer is not one of the script",
            Self::Broken => "a key of the prefix holds something else than a bucket",
        })
    }
}

/// Before version 7 a server wraps what befell a command of a script: `ERR Error running script (call to
/// f_…): @user_script:1: @user_script: 1: -OOM command not allowed`.
fn code_within_script(text: &str) -> Option<&str> {
    let wrapped = text.strip_prefix("Error running script ")?;
    let (_, error) = wrapped.split_once("user_script: ")?;
    let (_, error) = error.split_once(": -")?;
    error.split(' ').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away(reply: &str) -> Away {
        let value = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        Away::of(&value.extract_error().unwrap_err())
    }

    #[test]
    fn what_befalls_a_command_of_the_script_is_told_apart_on_older_servers_too() {
        for (label, error) in [
            ("full", "OOM command not allowed when used memory > 'maxmemory'."),
            ("full", "MISCONF Redis is configured to save RDB snapshots"),
            ("full", "NOREPLICAS Not enough good replicas to write."),
            ("read_only", "READONLY You can't write against a read only replica."),
        ] {
            assert_eq!(away(error).label(), label, "{error}");
            let sha = "f_522df6acdfc7eb23ae936acec031ad1eb4216098";
            let wrapped = format!(
                "ERR Error running script (call to {sha}): @user_script:1: @user_script: 1: -{error}"
            );
            assert_eq!(away(&wrapped).label(), label, "{wrapped}");
        }
        assert_eq!(away("ERR Error running script").label(), "unintelligible");
        assert_eq!(
            away("TRYAGAIN Multiple keys request during rehashing of slot").label(),
            "half_moved"
        );
    }
}
