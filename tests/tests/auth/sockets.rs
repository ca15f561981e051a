//! The file of a Unix socket.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener,
    },
};

use restante_tests::{Server, Test, auth::Auth, tests, trials::Need};

pub(crate) const TESTS: &[Test] = tests![
    the_file_comes_and_goes_with_the_server => needs(&[Need::OwnProcess]),
    what_a_killed_server_left_is_replaced => needs(&[Need::OwnProcess]),
    what_is_in_use_is_left_alone => needs(&[Need::OwnProcess]),
];

fn the_file_comes_and_goes_with_the_server(server: &Server) {
    let path = server.auth_socket();
    let metadata = fs::metadata(&path).expect("the socket is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o660);
    server.stop();
    assert!(!path.exists());
}

fn what_a_killed_server_left_is_replaced(server: &Server) {
    let path = server.auth_socket();
    server.kill();
    assert!(path.exists(), "the dead remove nothing");
    server.start_again().expect("the server starts again");
    let answer = Auth::unix(&path).plain(1, &server.alice.name, &server.alice.password);
    assert!(answer.starts_with("OK\t1\t"), "{answer}");
}

fn what_is_in_use_is_left_alone(server: &Server) {
    let folder = server.folder().join("second");
    let second = |path: &std::path::Path| {
        let storage = format!(
            "[[auth]]\naddress = \"unix:{}\"\n[storage]\nkind = \"embedded\"\nfolder = \"{}\"\n",
            path.display(),
            folder.display()
        );
        let (code, said) = server.try_on(&storage);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains(&format!("cannot listen on unix:{}", path.display())),
            "{said}"
        );
    };
    let path = server.auth_socket();
    second(&path);
    let answer = Auth::unix(&path).plain(1, &server.alice.name, &server.alice.password);
    assert!(answer.starts_with("OK\t1\t"), "{answer}");
    // Somebody else's, and what is no socket.
    let foreign = server.folder().join("foreign");
    let listener = UnixListener::bind(&foreign).expect("a socket");
    second(&foreign);
    drop(listener);
    let file = server.folder().join("file");
    fs::write(&file, "something else").expect("it can be written");
    second(&file);
    assert_eq!(fs::read(&file).expect("it is there"), b"something else");
}
