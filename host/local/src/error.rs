//! What can go wrong with a local server.

use std::{fmt, io, num::NonZeroU16, path::PathBuf};

/// One of the two local servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalService {
    /// The embedded DynamoDB.
    DynamoDb,
    /// The embedded S3.
    S3,
}

impl fmt::Display for LocalService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DynamoDb => "DynamoDB",
            Self::S3 => "S3",
        })
    }
}

impl LocalService {
    /// The flag of `weir local` that chooses its port.
    fn flag(self) -> &'static str {
        match self {
            Self::DynamoDb => "--port",
            Self::S3 => "--s3-port",
        }
    }
}

/// Why a local server, or something in it, could not be set up or used.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No free port of the loopback interface could be had.
    #[error(
        "the local {service} cannot listen on 127.0.0.1 ({source}): check that the loopback interface is up and that sockets are allowed"
    )]
    Listen {
        /// Which server.
        service: LocalService,
        /// What the operating system said.
        source: io::Error,
    },
    /// The port that was asked for cannot be had.
    #[error(
        "the local {service} cannot listen on 127.0.0.1:{port} ({source}): stop what listens there, choose another port with {flag}, or omit the flag for a free port",
        flag = .service.flag()
    )]
    Port {
        /// Which server.
        service: LocalService,
        /// The port.
        port: NonZeroU16,
        /// What the operating system said.
        source: io::Error,
    },
    /// The in-memory database did not open.
    #[error("the local DynamoDB cannot open its in-memory database: {reason}")]
    Database {
        /// What the database said.
        reason: String,
    },
    /// The folder that should hold the buckets cannot be used.
    #[error("the local S3 cannot keep its objects in {}: {reason}; name a writable folder", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What stands in the way.
        reason: String,
    },
    /// Expired items could not be removed.
    #[error("the local DynamoDB cannot remove its expired items: {reason}")]
    Sweep {
        /// What the database said.
        reason: String,
    },
    /// A table was not created, or not completely.
    #[error(
        "cannot create the table {table}: {reason}; if it exists already, delete it or choose another name"
    )]
    CreateTable {
        /// The table's name.
        table: String,
        /// What the server, or the check of the request, said.
        reason: String,
    },
    /// A bucket was not created.
    #[error("cannot create the bucket {bucket}: {reason}")]
    CreateBucket {
        /// The bucket's name.
        bucket: String,
        /// What the server said.
        reason: String,
    },
}
