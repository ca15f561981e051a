//! The fixture does what it says, faults included.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{Bucket, Cluster, Guard, Mode, Node, PATIENCE, Proxy, admin};

/// Longer than anything that is not meant to wait takes on the loopback.
const MOMENT: Duration = Duration::from_millis(500);

/// The first line of what S3 answers to a request without signature.
fn status_line(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /bucket/key HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

fn knows(node: &Node, bucket: &Bucket) -> bool {
    let query = format!("GetBucketInfo?globalAlias={}", bucket.name);
    node.call(&query, "")
        .is_ok_and(|info| admin::field(&info, "accessKeyId") == Some(&bucket.key_id))
}

fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

#[test]
fn what_is_guarded_is_gone_with_the_guard() {
    let folder = tempfile::tempdir().expect("a folder").keep();
    let sleep = || Command::new("sleep").arg("600").spawn().expect("sleep(1)");
    let (mut ended, mut left) = (sleep(), sleep());
    let guard = Guard::of(&folder).expect("sh(1)");
    guard.watch(ended.id());
    guard.forget();
    guard.watch(left.id());
    // As the end of the test process would.
    drop(guard);
    assert!(!left.wait().expect("a child").success());
    assert!(matches!(ended.try_wait(), Ok(None)), "it was forgotten");
    ended.kill().and_then(|()| ended.wait()).expect("a child");
    assert!(!folder.exists());
}

#[test]
fn a_killed_node_comes_back_with_its_buckets() {
    let node = Node::start().expect("a node");
    let bucket = node.bucket();
    assert_ne!(bucket, node.bucket());
    node.kill();
    assert!(TcpStream::connect(bucket.s3).is_err());
    node.start_again();
    assert!(knows(&node, &bucket));
    node.stop();
    node.start_again();
    assert!(knows(&node, &bucket));
    assert_eq!(
        status_line(bucket.s3).expect("an answer"),
        "HTTP/1.0 403 Forbidden"
    );
}

#[test]
fn a_paused_node_answers_after_it_goes_on() {
    let node = Node::start().expect("a node");
    node.pause();
    let address = node.s3();
    let asking = thread::spawn(move || status_line(address));
    thread::sleep(MOMENT);
    assert!(!asking.is_finished());
    node.resume();
    assert!(asking.join().expect("no panic").is_ok());
}

#[test]
fn a_dropped_node_leaves_nothing() {
    let node = Node::start().expect("a node");
    let (folder, process) = (node.folder().to_path_buf(), format!("/proc/{}", node.pid()));
    assert!(folder.join("meta").exists() && Path::new(&process).exists());
    drop(node);
    assert!(!folder.exists() && !Path::new(&process).exists());
}

/// Runs itself once more in a process that dies with a node running.
#[test]
fn a_test_process_that_dies_leaves_nothing() {
    const CHILD: &str = "RESTANTE_GARAGE_NODE_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let node = Node::start().expect("a node");
        println!("\nnode {} {}", node.pid(), node.folder().display());
        std::process::abort();
    }
    let output = Command::new(std::env::current_exe().expect("we run"))
        .args(["--exact", "--nocapture"])
        .arg("tests::a_test_process_that_dies_leaves_nothing")
        .env(CHILD, "1")
        .output()
        .expect("we can be started again");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("node "))
        .unwrap_or_else(|| panic!("no node in {output:?}"));
    let (pid, folder) = line.split_once(' ').expect("two words");
    // In a container nobody may take the remains of the process: then it has no command line.
    assert!(wait_for(|| !Path::new(folder).exists()
        && std::fs::read(format!("/proc/{pid}/cmdline"))
            .unwrap_or_default()
            == b""));
}

#[test]
fn two_of_three_nodes_serve() {
    let cluster = Cluster::start().expect("three nodes");
    let bucket = cluster.bucket(0);
    assert!(wait_for(|| knows(&cluster.nodes[2], &bucket)));
    cluster.nodes[0].kill();
    let second = cluster.bucket(1);
    assert!(wait_for(|| knows(&cluster.nodes[2], &second)));
    cluster.nodes[0].start_again();
    assert!(wait_for(|| knows(&cluster.nodes[0], &second)));
}

/// A server that answers each line with ten bytes.
fn ten_bytes_a_line() -> SocketAddr {
    counts_lines().0
}

/// The same, and how many lines it has read.
fn counts_lines() -> (SocketAddr, Arc<AtomicUsize>) {
    let lines = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&lines);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let lines = Arc::clone(&counting);
            thread::spawn(move || {
                let mut byte = [0];
                let mut stream = stream;
                while stream.read_exact(&mut byte).is_ok() {
                    if byte != *b"\n" {
                        continue;
                    }
                    lines.fetch_add(1, Ordering::SeqCst);
                    if stream.write_all(b"0123456789").is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, lines)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).expect("the proxy listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

/// Asks once and says how many bytes came, and after what time.
fn ask(stream: &mut TcpStream) -> (usize, Duration) {
    let begin = Instant::now();
    let mut answer = [0; 10];
    let mut length = 0;
    // A connection that was closed fails to write or read, sooner or later.
    if stream.write_all(b"\n").is_ok() {
        while length < answer.len()
            && let Ok(more @ 1..) = stream.read(&mut answer[length..])
        {
            length += more;
        }
    }
    (length, begin.elapsed())
}

#[test]
fn a_proxy_delays_each_answer_and_breaks_it_off() {
    let proxy = Proxy::to(ten_bytes_a_line());
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream).0, 10);
    proxy.set(Mode::Slow(MOMENT));
    for _ in 0..2 {
        let (length, time) = ask(&mut stream);
        assert!(length == 10 && time >= MOMENT, "{length} {time:?}");
    }
    proxy.set(Mode::BreakAfter(4));
    assert_eq!(ask(&mut stream).0, 4);
    assert_eq!(ask(&mut connect(&proxy)).0, 4);
    assert!(wait_for(|| proxy.connections() == 0));
}

#[test]
fn an_answer_ends_as_it_began_whatever_the_mode_is_by_then() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = Proxy::to(listener.local_addr().expect("an address"));
    // An answer in two pieces, and a mode for each of them.
    let answer = |before, after| {
        proxy.set(before);
        let mut client = connect(&proxy);
        client.write_all(b"\n").expect("the proxy listens");
        let (mut server, _) = listener.accept().expect("the proxy connects");
        server.read_exact(&mut [0]).expect("a line");
        server.write_all(b"01234").expect("the proxy reads");
        client.read_exact(&mut [0; 5]).expect("the first piece");
        proxy.set(after);
        server.write_all(b"56789").expect("the proxy reads");
        drop(server);
        let mut rest = String::new();
        client.read_to_string(&mut rest).expect("and the end");
        rest
    };
    assert_eq!(answer(Mode::BreakAfter(7), Mode::Pass), "56");
    assert_eq!(proxy.broken(), 1);
    assert_eq!(answer(Mode::Pass, Mode::BreakAfter(7)), "56789");
    assert_eq!(proxy.broken(), 1);
}

#[test]
fn a_proxy_refuses_cuts_and_recovers() {
    let proxy = Proxy::to(ten_bytes_a_line());
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream).0, 10);
    proxy.set(Mode::Refuse);
    assert!(TcpStream::connect(proxy.address()).is_err());
    assert_eq!(ask(&mut stream).0, 10);
    proxy.set(Mode::Cut);
    assert!(TcpStream::connect(proxy.address()).is_err());
    assert_eq!(ask(&mut stream).0, 0);
    proxy.set(Mode::Pass);
    assert_eq!(ask(&mut connect(&proxy)).0, 10);
}

#[test]
fn a_proxy_resets_who_asks() {
    let proxy = Proxy::to(ten_bytes_a_line());
    let mut stream = connect(&proxy);
    assert_eq!(ask(&mut stream).0, 10);
    proxy.set(Mode::Reset);
    assert_eq!(ask(&mut stream).0, 0);
    let mut stream = connect(&proxy);
    stream.write_all(b"\n").expect("the connection is there");
    let error = stream.read(&mut [0]).expect_err("it is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    proxy.set(Mode::Pass);
    assert_eq!(ask(&mut connect(&proxy)).0, 10);
}

#[test]
fn a_hanging_proxy_holds_bytes_until_it_goes_on() {
    let proxy = Proxy::to(ten_bytes_a_line());
    proxy.set(Mode::Hang);
    let mut stream = connect(&proxy);
    let asking = thread::spawn(move || ask(&mut stream));
    thread::sleep(MOMENT);
    assert!(!asking.is_finished());
    proxy.set(Mode::Pass);
    assert_eq!(asking.join().expect("no panic").0, 10);
}

#[test]
fn a_proxy_hangs_or_falls_silent_after_so_many_bytes() {
    for (mode, heard) in [(Mode::HangAfter(2), 2), (Mode::MuteAfter(2), 3)] {
        let (address, lines) = counts_lines();
        let proxy = Proxy::to(address);
        proxy.set(mode);
        let mut stream = connect(&proxy);
        assert_eq!(ask(&mut stream).0, 10);
        for _ in 0..2 {
            stream.write_all(b"\n").expect("the proxy is there");
            assert!(wait_for(|| proxy.held() > 0), "{mode:?}");
        }
        assert!(wait_for(|| lines.load(Ordering::SeqCst) == heard));
        thread::sleep(MOMENT);
        assert_eq!(lines.load(Ordering::SeqCst), heard, "{mode:?}");
        stream.set_nonblocking(true).expect("it is open");
        let error = stream.peek(&mut [0]).expect_err("no answer has come");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        stream.set_nonblocking(false).expect("it is open");
        proxy.set(Mode::Pass);
        stream.read_exact(&mut [0; 20]).expect("what was held");
        assert!(wait_for(|| proxy.held() == 0));
    }
}
