use std::process::Command;

use super::*;

fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..400 {
        if done() {
            return;
        }
        pause();
    }
    panic!("not within 20 s: {what}");
}

fn answers(cluster: &Cluster, seat: &Seat) -> bool {
    psql(&cluster.bin, seat, "postgres", "SELECT 1").is_ok()
}

#[test]
fn a_private_cluster_is_durable_and_goes_with_its_owner() {
    let cluster = Cluster::start().unwrap();
    assert_eq!(cluster.sql("SHOW fsync").unwrap(), "on");
    assert_eq!(cluster.sql("SHOW max_connections").unwrap(), "300");
    assert_eq!(cluster.sql("SHOW server_encoding").unwrap(), "UTF8");
    assert_eq!(cluster.sql("SHOW listen_addresses").unwrap(), "127.0.0.1");

    let first = cluster.fresh_url("Some Test-名").unwrap();
    let second = cluster.fresh_url("Some Test-名").unwrap();
    assert_ne!(first, second);
    assert!(first.contains("/some_test___"), "{first}");
    assert_eq!(cluster.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'some%'").unwrap(), "2");

    let other = Cluster::start_with(Durability::Fast).unwrap();
    assert_eq!(other.sql("SHOW fsync").unwrap(), "off");
    assert_ne!(other.seat.port, cluster.seat.port);

    let (seat, state) = (cluster.seat.clone(), cluster.state.clone());
    drop(cluster);
    assert!(!seat.home.exists() && !state.exists());
    assert!(!answers(&other, &seat));
    assert!(answers(&other, &other.seat));
}

#[test]
fn a_wrong_password_is_refused() {
    let cluster = Cluster::start_with(Durability::Fast).unwrap();
    let stranger = Seat { password: "guess".to_owned(), ..cluster.seat.clone() };
    assert!(!answers(&cluster, &stranger));
}

#[test]
fn a_shared_cluster_is_one_until_its_last_user_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let start = || Cluster::shared_in(folder.path(), 2).unwrap();
    let clusters: Vec<Cluster> = std::thread::scope(|scope| {
        (0..4).map(|_| scope.spawn(start)).collect::<Vec<_>>().into_iter().map(|one| one.join().unwrap()).collect()
    });
    let seat = clusters[0].seat.clone();
    assert!(clusters.iter().all(|one| one.seat.port == seat.port));

    let mut clusters = clusters.into_iter();
    let last = clusters.next().unwrap();
    drop(clusters);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| last.fresh_url("parallel").unwrap());
        }
    });
    // Longer than the grace: the one user that is left keeps it.
    for _ in 0..30 {
        pause();
    }
    assert!(answers(&last, &seat));
    drop(last);
    until("the server has stopped", || !seat.home.exists());

    let next = start();
    let home = next.seat.home.clone();
    assert_ne!(home, seat.home);
    // A folder of locks that is removed takes the server with it.
    drop(folder);
    until("the server without its locks has stopped", || !home.exists());
}

#[test]
fn a_shared_cluster_whose_watcher_was_killed_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let first = Cluster::shared_in(folder.path(), 300).unwrap();
    let server = fs::read_to_string(first.seat.home.join("data/postmaster.pid")).unwrap();
    let server = server.lines().next().unwrap();
    let status = fs::read_to_string(format!("/proc/{server}/status")).unwrap();
    let watcher = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim();
    assert!(Command::new("sh").args(["-c", &format!("kill -KILL {watcher}")]).status().unwrap().success());
    until("the server has followed its watcher", || !answers(&first, &first.seat));

    let second = Cluster::shared_in(folder.path(), 0).unwrap();
    assert!(answers(&second, &second.seat));
    assert!(!first.seat.home.exists(), "what the first one left is removed");
    // A run that ends says so, and does not wait for the grace.
    fs::write(folder.path().join("stop"), "").unwrap();
    let home = second.seat.home.clone();
    drop((first, second));
    until("the second one has stopped", || !home.exists());
}

#[test]
fn a_cluster_that_crashes_comes_back_with_what_was_committed() {
    let cluster = Cluster::start_in(&std::env::temp_dir(), Durability::Durable).unwrap();
    cluster.sql("CREATE TABLE kept (n INT)").unwrap();
    for n in 0..3 {
        cluster.sql(&format!("INSERT INTO kept VALUES ({n})")).unwrap();
        let server = cluster.process().unwrap();
        cluster.crash().unwrap();
        assert_ne!(cluster.process().unwrap(), server);
    }
    assert_eq!(cluster.sql("SELECT count(*) FROM kept").unwrap(), "3");
    let log = fs::read_to_string(cluster.seat.home.join("log")).unwrap();
    assert!(log.contains("automatic recovery in progress"), "{log}");
}
