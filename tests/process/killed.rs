use sharpness_tests::prelude::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const RUN: &str = "SHARPNESS_TESTS_RUN";
const KILLED_RUNS: u64 = 50;
const ENDLESS: u64 = 1_000_000;

/// Not a test, but the run to be killed. It prints each step after its measurement.
#[test]
fn run_in_a_process_of_its_own() {
    let Ok(run) = std::env::var(RUN) else {
        return;
    };
    let mut words = run.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (first_step, steps) = (number(), number());
    let folder = words.next().unwrap();

    let at = AtStep::new(model(), sgd(), 0.1, batch_of(8));
    let probe = in_folder(1, Path::new(folder));
    probe.set_step(first_step);
    for _ in first_step..steps {
        println!("\nmeasured {}", at.measure(&probe).step);
    }
}

fn run(folder: &Path, first_step: u64, end: u64) -> Command {
    let test = "killed::run_in_a_process_of_its_own";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture"])
        .env(RUN, format!("{first_step} {end} {}", folder.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn kill_after(folder: &Path, step: u64) {
    let mut run = run(folder, 0, ENDLESS);
    let mut child = run.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = format!("measured {step}");
    assert!(lines.any(|line| line.unwrap() == said), "no step {step}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_killed_run_leaves_each_line_and_a_resumed_one_has_each_step_once() {
    for seed in 0..KILLED_RUNS {
        let folder = tempfile::tempdir().unwrap();
        // The seed chooses the step; the moment after it is chance.
        let said = seed * 7919 % 41;
        kill_after(folder.path(), said);

        let path = folder.path().join(MEASUREMENTS_FILE);
        let content = std::fs::read_to_string(&path).unwrap();
        let lines = content.split_inclusive('\n');
        let complete = lines.filter(|line| line.ends_with('\n'));
        let read = complete.map(|line| serde_json::from_str::<Measurement>(line).unwrap().step);
        let read: Vec<u64> = read.collect();
        let count = read.len() as u64;
        assert!(
            count > said,
            "step {said} was measured, but {count} lines are there"
        );
        assert_eq!(read, (0..count).collect::<Vec<_>>());

        let checkpoint = said / 10 * 10;
        let end = count + 5;
        let resumed = run(folder.path(), checkpoint, end).status().unwrap();
        assert!(resumed.success());
        assert_eq!(steps(folder.path()), (0..end).collect::<Vec<_>>());
    }
}

/// A limit on the file size simulates a full disk and cuts the last line.
#[cfg(unix)]
#[test]
fn a_run_goes_on_without_room_for_its_record_and_what_was_written_reads() {
    let folder = tempfile::tempdir().unwrap();
    let unlimited = run(folder.path(), 0, 40);
    let variables = unlimited.get_envs();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\""])
        .arg(unlimited.get_program())
        .args(unlimited.get_args())
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_says(&String::from_utf8_lossy(&output.stdout), "measured 39");

    let path = folder.path().join(MEASUREMENTS_FILE);
    let content = std::fs::read_to_string(&path).unwrap();
    assert!(!content.ends_with('\n'), "the limit was not reached");
    let complete = content.matches('\n').count() as u64;
    assert!((4..40).contains(&complete), "{complete} lines");

    assert!(run(folder.path(), 4, 12).status().unwrap().success());
    assert_eq!(steps(folder.path()), (0..12).collect::<Vec<_>>());
}
