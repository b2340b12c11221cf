//! A meeting of threads: the host asks, and each guest answers about its own part. Nobody waits without limit.
//!
//! Each side drops its ends of the channels when it ends, so a panic or an early exit wakes the other side. Numbered
//! questions let the host ignore answers to an abandoned question.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(5);

pub(crate) fn open<Card, Question, Answer>()
-> (Door<Card, Question, Answer>, Host<Card, Question, Answer>) {
    let (door, arrivals) = channel();
    let host = Host {
        arrivals: Some(arrivals),
        guests: Vec::new(),
        asked: 0,
    };
    (Door(door), host)
}

pub(crate) struct Door<Card, Question, Answer>(Sender<Guest<Card, Question, Answer>>);

struct Guest<Card, Question, Answer> {
    card: Card,
    has_left: bool,
    questions: Sender<(u64, Question)>,
    answers: Receiver<(u64, Answer)>,
}

pub(crate) struct Host<Card, Question, Answer> {
    arrivals: Option<Receiver<Guest<Card, Question, Answer>>>,
    guests: Vec<Guest<Card, Question, Answer>>,
    asked: u64,
}

pub(crate) struct Seat<Question, Answer> {
    questions: Receiver<(u64, Question)>,
    answers: Sender<(u64, Answer)>,
}

/// A guest has left or has not answered within the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Left;

impl<Card, Question, Answer> Door<Card, Question, Answer> {
    pub(crate) fn enter(&self, card: Card) -> Option<Seat<Question, Answer>> {
        let (questions, to_guest) = channel();
        let (to_host, answers) = channel();
        let guest = Guest {
            card,
            has_left: false,
            questions,
            answers,
        };
        self.0.send(guest).ok()?;
        Some(Seat {
            questions: to_guest,
            answers: to_host,
        })
    }
}

impl<Card, Question: Clone, Answer> Host<Card, Question, Answer> {
    /// Lets guests in until nobody is missing or the limit has passed, and then shuts the door.
    pub(crate) fn gather(&mut self, limit: Duration, is_missing: impl Fn(&[&Card]) -> bool) {
        let Some(arrivals) = self.arrivals.take() else {
            return;
        };
        let began = Instant::now();
        loop {
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() || !is_missing(&self.cards()) {
                return;
            }
            match arrivals.recv_timeout(left.min(LOOK)) {
                Ok(guest) => self.guests.push(guest),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    pub(crate) fn cards(&self) -> Vec<&Card> {
        self.guests.iter().map(|guest| &guest.card).collect()
    }

    pub(crate) fn ask(&mut self, question: &Question) {
        self.asked += 1;
        for guest in &self.guests {
            // `answers` notices a guest that has left.
            let _ = guest.questions.send((self.asked, question.clone()));
        }
    }

    /// Once a guest has left, there are no answers until the host [parts](Self::part) from that guest, since the rest
    /// cannot speak for all.
    pub(crate) fn answers(&mut self, limit: Duration) -> Result<Vec<Answer>, Left> {
        let began = Instant::now();
        let mut all = Vec::new();
        for guest in &mut self.guests {
            let answer = loop {
                let left = limit.saturating_sub(began.elapsed());
                match guest.answers.recv_timeout(left) {
                    Ok((number, answer)) if number == self.asked => break Some(answer),
                    Ok(_) => {}
                    Err(_) => break None,
                }
            };
            guest.has_left |= answer.is_none();
            all.extend(answer);
        }
        let has_lost_one = self.guests.iter().any(|guest| guest.has_left);
        if has_lost_one { Err(Left) } else { Ok(all) }
    }

    pub(crate) fn part(&mut self) -> Vec<Card> {
        let left = self.guests.extract_if(.., |guest| guest.has_left);
        left.map(|guest| guest.card).collect()
    }

    pub(crate) fn dismiss(&mut self) {
        self.arrivals = None;
        self.guests.clear();
    }
}

impl<Question, Answer> Seat<Question, Answer> {
    /// Serves until the meeting is over or no question comes within the limit.
    pub(crate) fn serve(self, limit: Duration, mut answer: impl FnMut(Question) -> Answer) {
        while let Ok((number, question)) = self.questions.recv_timeout(limit) {
            if self.answers.send((number, answer(question))).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread::{self, JoinHandle, scope};

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    fn numbers() -> (Door<usize, u64, u64>, Host<usize, u64, u64>) {
        open()
    }

    /// A guest that answers each question with its number.
    fn echoes(seat: Seat<u64, u64>, limit: Duration) -> JoinHandle<()> {
        thread::spawn(move || seat.serve(limit, |asked| asked))
    }

    fn gather(host: &mut Host<usize, u64, u64>, guests: usize, limit: Duration) {
        host.gather(limit, |cards| cards.len() < guests);
    }

    fn join<T>(thread: JoinHandle<T>) -> thread::Result<T> {
        let began = Instant::now();
        while !thread.is_finished() {
            assert!(began.elapsed() < LONG / 2, "a thread waits");
            thread::sleep(Duration::from_millis(1));
        }
        thread.join()
    }

    #[test]
    fn guests_answer_every_question_in_the_order_of_their_cards() {
        for guests in [1, 3] {
            let (door, mut host) = numbers();
            scope(|scope| {
                for guest in 0..guests {
                    let seat = door.enter(guest).unwrap();
                    scope.spawn(move || seat.serve(LONG, |asked| 10 * asked + guest as u64));
                }
                gather(&mut host, guests, LONG);
                for asked in [1, 2, 3] {
                    host.ask(&asked);
                    let cards = host.cards().into_iter();
                    let expected = cards.map(|card| 10 * asked + *card as u64);
                    let expected: Vec<u64> = expected.collect();
                    assert_eq!(host.answers(LONG), Ok(expected));
                }
                host.dismiss();
            });
        }
    }

    #[test]
    fn who_never_comes_is_waited_for_until_the_limit_or_until_it_cannot_come() {
        let (_door, mut host) = numbers();
        let began = Instant::now();
        gather(&mut host, 1, SHORT);
        assert!(began.elapsed() >= SHORT && host.cards().is_empty());

        let (_door, mut host) = numbers();
        let looks = std::cell::Cell::new(0);
        host.gather(LONG, |_| {
            looks.set(looks.get() + 1);
            looks.get() < 3
        });
        assert_eq!(looks.get(), 3);

        let (door, mut host) = numbers();
        drop(door);
        gather(&mut host, 1, LONG);
    }

    #[test]
    fn who_comes_late_goes_on_at_once() {
        let (door, mut host) = numbers();
        let early = door.enter(0).unwrap();
        let late = door.enter(1).unwrap();
        gather(&mut host, 1, LONG);
        assert!(door.enter(2).is_none());
        join(echoes(late, LONG)).unwrap();
        drop(early);
    }

    #[test]
    fn a_guest_that_leaves_ends_the_answers_in_every_phase() {
        for phase in 0..4 {
            let (door, mut host) = numbers();
            let stays = echoes(door.enter(0).unwrap(), LONG);
            let leaves = door.enter(1).unwrap();
            let leaves = thread::spawn(move || match phase {
                0 => drop(leaves),
                1 => drop(leaves.questions.recv_timeout(LONG)),
                2 => leaves.serve(LONG, |_| panic!("an injected stop")),
                _ => {
                    let (number, question) = leaves.questions.recv_timeout(LONG).unwrap();
                    leaves.answers.send((number, question)).unwrap();
                }
            });
            gather(&mut host, 2, LONG);
            host.ask(&7);
            let first = host.answers(LONG);
            assert_eq!(first.is_ok(), phase == 3, "{phase}");
            host.ask(&8);
            assert_eq!(host.answers(LONG), Err(Left), "{phase}");
            assert_eq!(host.part(), [1], "{phase}");
            host.ask(&9);
            assert_eq!(host.answers(LONG), Ok(vec![9]), "{phase}");
            drop(host);
            join(stays).unwrap();
            assert_eq!(join(leaves).is_err(), phase == 2);
        }
    }

    #[test]
    fn a_guest_that_hangs_is_waited_for_until_the_limit() {
        let (door, mut host) = numbers();
        let seat = door.enter(0).unwrap();
        gather(&mut host, 1, LONG);
        host.ask(&1);
        assert_eq!(host.answers(SHORT), Err(Left));
        drop(seat);
    }

    #[test]
    fn an_answer_to_an_abandoned_question_is_not_taken_for_one_to_the_next() {
        let (door, mut host) = numbers();
        let guest = echoes(door.enter(0).unwrap(), LONG);
        gather(&mut host, 1, LONG);
        host.ask(&1);
        host.ask(&2);
        assert_eq!(host.answers(LONG), Ok(vec![2]));
        drop(host);
        join(guest).unwrap();
    }

    #[test]
    fn a_host_that_ends_or_panics_releases_all_guests() {
        for (phase, panics) in [(0, false), (0, true), (1, false), (1, true), (2, true)] {
            let (door, mut host) = numbers();
            let guests = [0, 1, 2].map(|guest| echoes(door.enter(guest).unwrap(), LONG));
            let ends = catch_unwind(AssertUnwindSafe(move || {
                if phase > 0 {
                    gather(&mut host, 3, LONG);
                }
                if phase > 1 {
                    host.ask(&1);
                }
                assert!(!panics, "an injected stop");
            }));
            assert_eq!(ends.is_err(), panics);
            for guest in guests {
                join(guest).unwrap();
            }
            assert!(door.enter(9).is_none());
        }
    }

    #[test]
    fn a_guest_does_not_wait_for_questions_without_limit() {
        let (door, mut host) = numbers();
        let guest = echoes(door.enter(0).unwrap(), SHORT);
        gather(&mut host, 1, LONG);
        join(guest).unwrap();
    }
}
