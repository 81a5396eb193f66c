//! What the program makes of its environment: blank variables, the archive without a bucket, proxies, certificates,
//! endpoints of a profile, and Lambda's log controls.

use regex::Regex;
use serde_json::Value;
use std::{fs, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer},
};
use weir_tests::{
    program::{Ended, Program, weir},
    record::{self, Record},
    stage::{Stage, consumption, expiry},
};

/// A folder with an event in it.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("the file can be written");
        path.to_str().expect("a path of UTF-8").to_owned()
    }

    fn event(&self, records: &[Record]) -> String {
        self.file("event.json", record::event(records))
    }
}

/// What the program said at its end, in one line.
fn complaint(ended: &Ended) -> &str {
    let lines: Vec<_> = ended.err.lines().collect();
    let [line] = lines[..] else {
        panic!("not one line: {ended:?}");
    };
    line
}

// ------------------------------------------------------------------------------------------- blank values

/// The variables that the help names, and those that it leaves to Lambda.
async fn variables() -> Vec<String> {
    let help = weir(["apply", "--help"]).run().await.out;
    let named = Regex::new(r"\[env:\s+([A-Z0-9_]+)=").expect("a pattern");
    let named = named.captures_iter(&help).map(|found| found[1].to_owned());
    let of_lambda = ["AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL"].map(String::from);
    named.chain(of_lambda).collect()
}

#[tokio::test]
async fn a_blank_variable_is_as_good_as_none() {
    const OF_OTHERS: [&str; 17] = [
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_SESSION_TOKEN",
        "AWS_MAX_ATTEMPTS",
        "AWS_CA_BUNDLE",
        "HTTPS_PROXY",
        "https_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "ALL_PROXY",
        "NO_PROXY",
        "AWS_LAMBDA_RUNTIME_API",
    ];
    let stage = Stage::start().await;
    let files = Files::new();
    let event = files.event(&[consumption(1, "ann", 3)]);
    // All that is needed comes by flag or from the profile, so that each variable may be blank.
    let home = files.file(
        "config",
        format!(
            "[default]\nregion = us-east-1\naws_access_key_id = local\naws_secret_access_key = local\nendpoint_url = {}\n",
            stage.dynamodb()
        ),
    );
    fs::create_dir(files.0.path().join(".aws")).expect("a folder");
    fs::rename(home, files.0.path().join(".aws/config")).expect("the file has its place");
    let run = async |blank: &[(String, &str)]| {
        let table = stage.table().name();
        let mut program = weir(["apply", &event, "--json", "--table-name", table]);
        program = program.with("HOME", files.0.path());
        for (variable, value) in blank {
            program = program.with(variable, value);
        }
        let ended = program.run().await;
        assert_eq!(ended.code, 0, "{blank:?}: {ended:?}");
        ended.json()["body"]["processed"].clone()
    };
    let mut names = variables().await;
    assert!(names.len() > 20, "{names:?}");
    names.extend(OF_OTHERS.map(String::from));
    for value in ["", " ", "\t"] {
        let all: Vec<_> = names.iter().map(|name| (name.clone(), value)).collect();
        assert_eq!(run(&all).await, 1, "{value:?}");
    }
}

// ---------------------------------------------------------------------------------------------- settings

#[tokio::test]
async fn an_archive_without_a_bucket_is_refused_with_what_to_do() {
    let files = Files::new();
    let event = files.event(&[consumption(1, "ann", 3)]);
    let commands: [&[&str]; 3] = [&["replay", &event], &["apply", &event], &["worker"]];
    for command in commands {
        let ended = weir(command).with("ENABLE_ARCHIVAL", "true").run().await;
        assert_eq!(ended.code, 2, "{command:?}: {ended:?}");
        let said = complaint(&ended);
        for word in [
            "weir: ENABLE_ARCHIVAL (--enable-archival) is true",
            "ARCHIVE_BUCKET_NAME (--archive-bucket-name)",
            "or set ENABLE_ARCHIVAL to false",
        ] {
            assert!(said.contains(word), "{command:?}: {said}");
        }
    }
}

#[tokio::test]
async fn the_demo_has_a_bucket_of_its_own_for_the_archive() {
    let ended = weir(["demo", "--seconds", "2", "--entities", "6"])
        .with("ENABLE_ARCHIVAL", "true")
        .run()
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
}

// ------------------------------------------------------------------------------------------ the way to AWS

/// In a region of AWS, with credentials that nobody knows.
fn in_aws(program: Program) -> Program {
    program
        .with("AWS_REGION", "us-east-1")
        .with("AWS_ACCESS_KEY_ID", "local")
        .with("AWS_SECRET_ACCESS_KEY", "local")
}

/// A proxy that serves nobody; its address, and the first line that it is asked with.
async fn proxy() -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let asked = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a client");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n") {
            head.push(client.read_u8().await.expect("a line"));
        }
        let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
        client.write_all(refusal).await.expect("an answer");
        String::from_utf8(head).expect("a line of text")
    });
    (address, asked)
}

#[tokio::test]
async fn calls_go_by_way_of_the_proxy_that_a_variable_names() {
    const HTTPS: &str = "CONNECT dynamodb.us-east-1.amazonaws.com:443 HTTP/1.1\r\n";
    const HTTP: &str = "POST http://dynamodb.invalid/ HTTP/1.1\r\n";
    let files = Files::new();
    let event = files.event(&[consumption(1, "ann", 3)]);
    for (variable, is_https, scheme) in [
        ("HTTPS_PROXY", true, "http://"),
        ("https_proxy", true, ""),
        ("ALL_PROXY", true, "http://"),
        ("HTTP_PROXY", false, "http://"),
        ("http_proxy", false, "http://"),
    ] {
        let (address, asked) = proxy().await;
        let mut program = in_aws(weir(["apply", &event, "--timeout", "2"]))
            .with(variable, format!("{scheme}{address}"));
        // A blank one in capitals does not hide the other.
        if variable == "https_proxy" {
            program = program.with("HTTPS_PROXY", "");
        }
        if !is_https {
            program = program.with("AWS_ENDPOINT_URL_DYNAMODB", "http://dynamodb.invalid");
        }
        let ended = program.run().await;
        assert_ne!(ended.code, 0, "{variable}: {ended:?}");
        // The program has ended, so it has asked by now or never.
        let first = time::timeout(Duration::from_secs(10), asked).await;
        let first = first.unwrap_or_else(|_| panic!("{variable}: the proxy is not asked"));
        let first = first.expect("the proxy answers");
        assert_eq!(first, if is_https { HTTPS } else { HTTP }, "{variable}");
    }
}

#[tokio::test]
async fn hosts_that_need_no_proxy_are_reached_without_one() {
    let stage = Stage::start().await;
    let files = Files::new();
    let event = files.event(&[consumption(1, "ann", 3)]);
    let ended = weir(["apply", &event])
        .on(&stage)
        .with("HTTP_PROXY", "http://proxy.invalid:3128")
        .with("NO_PROXY", "localhost, 127.0.0.1")
        .run()
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!stage.usage().await.is_empty());
}

#[tokio::test]
async fn a_way_to_aws_that_is_none_is_refused_by_name() {
    let files = Files::new();
    let event = files.event(&[consumption(1, "ann", 3)]);
    let no_pem = files.file("no.pem", "no certificate");
    let missing = files.0.path().join("missing.pem").display().to_string();
    let bad_pem = files.file(
        "bad.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let cases = [
        (
            "HTTPS_PROXY",
            "socks5://proxy:1080",
            "socks5://proxy:1080",
            "http://host:port",
        ),
        ("https_proxy", "http://", "http://", "http://host:port"),
        (
            "ALL_PROXY",
            "ftp://me:secret@proxy",
            "proxy",
            "http://host:port",
        ),
        ("AWS_CA_BUNDLE", &missing, &missing, "it cannot be read"),
        ("AWS_CA_BUNDLE", &no_pem, &no_pem, "it holds no certificate"),
        (
            "AWS_CA_BUNDLE",
            &bad_pem,
            &bad_pem,
            "it holds no certificate",
        ),
    ];
    for (variable, value, shown, word) in cases {
        let program = in_aws(weir(["apply", &event]));
        let ended = program.with(variable, value).run().await;
        assert_eq!(ended.code, 2, "{variable}: {ended:?}");
        let said = complaint(&ended);
        let begin = format!("weir: {variable} is `{shown}`: ");
        assert!(said.starts_with(&begin) && said.contains(word), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

/// A server that only those trust who know its certificate, in front of another; its URL, and the certificate as PEM.
async fn behind_tls(server: &str) -> (String, String) {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let private = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private.into())
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = server.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                // A client that does not trust it goes away.
                if let Ok(mut client) = acceptor.accept(client).await {
                    let mut server = TcpStream::connect(server)
                        .await
                        .expect("the server is there");
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    (format!("https://localhost:{port}"), key.cert.pem())
}

#[tokio::test]
async fn the_certificates_of_a_bundle_are_trusted() {
    let stage = Stage::start().await;
    let (endpoint, certificate) = behind_tls(stage.dynamodb()).await;
    let files = Files::new();
    let event = files.event(&[consumption(1, "ann", 3)]);
    // As in bundles of companies, not every entry is one that can be used.
    let bundle = files.file(
        "bundle.pem",
        format!(
            "Ours:\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{certificate}"
        ),
    );
    let ended = weir(["apply", &event])
        .on(&stage)
        .with("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
        .with("AWS_CA_BUNDLE", bundle)
        .run()
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!stage.usage().await.is_empty());
}

#[tokio::test]
async fn an_endpoint_of_s3_in_the_profile_has_the_bucket_in_the_path() {
    let stage = Stage::start().await;
    let files = Files::new();
    let event = files.event(&[expiry(1)]);
    // An address of numbers has the bucket in the path in any case.
    let s3 = stage.s3().replace("127.0.0.1", "localhost");
    let profile = files.file(
        "config",
        format!(
            "[profile here]\nregion = us-east-1\nservices = local\n\n[services local]\ns3 =\n  endpoint_url = {}\ndynamodb =\n  endpoint_url = {}\n",
            s3,
            stage.dynamodb()
        ),
    );
    let ended = in_aws(weir(["apply", &event]))
        .with("AWS_CONFIG_FILE", profile)
        .with("AWS_PROFILE", "here")
        .with("TABLE_NAME", stage.table().name())
        .with("ENABLE_ARCHIVAL", "true")
        .with("ARCHIVE_BUCKET_NAME", weir_tests::stage::BUCKET)
        .run()
        .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(stage.objects("audit/").await.len(), 1, "{ended:?}");
}

// ------------------------------------------------------------------------------------ Lambda's log controls

/// What is left of a log where Lambda filters it: JSON lines of a level that it knows and of the application level at
/// least. Those without either, or without a time, count as INFO.
fn passed<'a>(log: &'a str, application: &str) -> Vec<(&'a str, Value)> {
    const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
    let info = rank("INFO").expect("a level");
    let passes = |line: &'a str| {
        let json: Value = serde_json::from_str(line).ok()?;
        let is_dated = json["timestamp"].is_string();
        let level = json["level"].as_str().and_then(rank).filter(|_| is_dated);
        (level.unwrap_or(info) >= rank(application)?).then_some((line, json))
    };
    log.lines().filter_map(passes).collect()
}

#[tokio::test]
async fn warnings_and_metrics_pass_lambdas_filter() {
    let stage = Stage::start().await;
    let files = Files::new();
    let odd = consumption(1, "ann", 3).with("/dynamodb/NewImage/b_rpm_tc/N", "twelve".into());
    let event = files.event(&[odd]);
    for (level, expected) in [
        ("INFO", ["INFO", "WARN", "ERROR", "metrics INFO"].as_slice()),
        ("WARN", &["WARN", "ERROR", "metrics FATAL"]),
        ("ERROR", &["ERROR", "metrics FATAL"]),
        ("FATAL", &["metrics FATAL"]),
    ] {
        let ended = weir(["apply", &event, "--metrics", "emf"])
            .on(&stage)
            .with("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .with("AWS_LAMBDA_LOG_LEVEL", level)
            .run()
            .await;
        let lines = passed(&ended.err, level);
        let found = |kind: &&str| {
            lines.iter().any(|(_, line)| {
                let is_metrics = line["_aws"]["CloudWatchMetrics"].is_array();
                let level = line["level"].as_str().unwrap_or_default();
                *kind
                    == if is_metrics {
                        format!("metrics {level}")
                    } else {
                        level.into()
                    }
            })
        };
        let all = [
            "DEBUG",
            "INFO",
            "WARN",
            "ERROR",
            "metrics INFO",
            "metrics FATAL",
        ];
        let kinds: Vec<_> = all.into_iter().filter(found).collect();
        assert_eq!(kinds, expected, "{level}: {ended:?}");
    }
}

#[tokio::test]
async fn what_stops_a_function_at_its_start_is_a_line_that_passes_the_filter() {
    for (variable, value, code, words) in [
        ("LOG_LEVEL", "loud", 2, "LOG_LEVEL (--log-level) is `loud`"),
        ("ENABLE_ARCHIVAL", "true", 2, "there is no bucket"),
        (
            "HTTPS_PROXY",
            "socks5://proxy",
            2,
            "HTTPS_PROXY is `socks5://proxy`",
        ),
        ("LOGIC_COMPONENT", "missing.wasm", 1, "missing.wasm"),
    ] {
        let no_arguments: [&str; 0] = [];
        let ended = in_aws(weir(no_arguments))
            .with("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1")
            .with("AWS_LAMBDA_FUNCTION_NAME", "limits")
            .with("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .with("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .with("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .with("AWS_LAMBDA_LOG_LEVEL", "ERROR")
            .with(variable, value)
            .run()
            .await;
        assert_eq!((ended.code, ended.err.as_str()), (code, ""), "{ended:?}");
        let lines = passed(&ended.out, "ERROR");
        let found = lines.iter().any(|(_, line)| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with("Function cannot start: ") && message.contains(words)
        });
        assert!(found, "{variable}: {ended:?}");
        assert_eq!(ended.out.matches(words).count(), 1, "{ended:?}");
    }
}
