//! The embedded S3.

use crate::{
    access::ExistingBuckets,
    client::{ACCESS_KEY_ID, SECRET_ACCESS_KEY, s3_client},
    error::{LocalError, LocalService},
    server::{Port, Server, listen},
};
use futures::channel::oneshot;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder as ConnectionBuilder,
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use std::{path::Path, time::Duration};
use tokio::{net::TcpListener, task::JoinSet};
use weir::aws;

/// How long to wait after a connection could not be accepted, for instance because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// An embedded S3 that keeps its objects as files of a folder.
pub struct LocalS3 {
    server: Server,
}

impl LocalS3 {
    /// Serves `folder`, which is created if need be, on a free port. Each bucket is a folder in it.
    ///
    /// # Errors
    /// [`LocalError::Folder`], [`LocalError::Listen`].
    pub async fn start(folder: &Path) -> Result<Self, LocalError> {
        Self::start_on(Port::Free, folder).await
    }

    /// Serves `folder`, which is created if need be. Each bucket is a folder in it.
    ///
    /// # Errors
    /// [`LocalError::Folder`], [`LocalError::Listen`], [`LocalError::Port`].
    pub async fn start_on(port: Port, folder: &Path) -> Result<Self, LocalError> {
        let failed = |reason| LocalError::Folder {
            folder: folder.to_path_buf(),
            reason,
        };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        // The crate's error has no Display.
        let files =
            s3s_fs::FileSystem::new(folder).map_err(|error| failed(format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        builder.set_access(ExistingBuckets {
            folder: folder.to_path_buf(),
        });
        let service = builder.build();

        let (listener, endpoint) = listen(LocalService::S3, port).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve_s3(listener, service, stopped));
        Ok(Self {
            server: Server {
                endpoint,
                stop,
                task,
            },
        })
    }

    /// The URL it listens on, for instance `http://127.0.0.1:40124`.
    pub fn endpoint(&self) -> &str {
        &self.server.endpoint
    }

    /// A client of its buckets.
    pub fn s3_client(&self) -> aws_sdk_s3::Client {
        s3_client(self.endpoint())
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// [`LocalError::CreateBucket`], also where the bucket exists.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), LocalError> {
        self.s3_client()
            .create_bucket()
            .bucket(bucket)
            .send()
            .await
            .map_err(|error| LocalError::CreateBucket {
                bucket: bucket.to_owned(),
                reason: aws::reason(&error),
            })?;
        Ok(())
    }

    /// Stops serving. Requests in hand are cut off.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

async fn serve_s3(listener: TcpListener, service: S3Service, mut stopped: oneshot::Receiver<()>) {
    let http = ConnectionBuilder::new(TokioExecutor::new());
    // Dropped at the end, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(_) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            _ = &mut stopped => break,
        };
        while connections.try_join_next().is_some() {}
        let connection = http
            .serve_connection(TokioIo::new(socket), service.clone())
            .into_owned();
        connections.spawn(async move {
            // A broken connection is its client's to report.
            let _ = connection.await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bucket_keeps_what_is_put_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let s3 = LocalS3::start(folder.path()).await.unwrap();
        s3.create_bucket("archive").await.unwrap();
        assert!(s3.create_bucket("archive").await.is_err());
        let client = s3.s3_client();
        client
            .put_object()
            .bucket("archive")
            .key("audit/one")
            .body(aws_sdk_s3::primitives::ByteStream::from_static(b"text"))
            .send()
            .await
            .unwrap();
        let object = client
            .get_object()
            .bucket("archive")
            .key("audit/one")
            .send()
            .await
            .unwrap();
        let body = object.body.collect().await.unwrap().into_bytes();
        assert_eq!(&body[..], b"text");
        s3.stop().await;
    }
}
