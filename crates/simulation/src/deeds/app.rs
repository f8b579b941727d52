//! F21: what the application does: fails, flaps, dies, finds no place to run.

use std::time::Duration;

use tidegate_sandbox::world::traffic::Behaviour;

use super::{After, Begun, Next, hand};
use crate::{
    fault::{AppMishap, seconds},
    oracle::traffic::PRODUCTION,
    scene::Scene,
};

/// The share of requests that fails.
const SHARE: f64 = 0.33;

/// How long what flaps is in one state.
const FLAP: Duration = Duration::from_secs(45);

/// Every image of the story.
const IMAGES: [&str; 3] = ["shop:v1", "shop:v2", "shop:v3"];

pub(super) fn begin(scene: &Scene, how: AppMishap, lasts: u64) -> Begun {
    match how {
        AppMishap::Incident => {
            let lasts = jiff::SignedDuration::try_from(seconds(lasts.max(60))).unwrap_or_default();
            scene.sandbox.world().begin_incident(lasts, SHARE);
            Begun::Until(After::then(|_| {}))
        }
        AppMishap::GreenFails => match newer(scene) {
            Some(image) => behaves(scene, vec![image], |behaviour| behaviour.error_share = SHARE),
            None => Begun::NotYet,
        },
        AppMishap::GreenFlaps => match newer(scene) {
            Some(image) => Begun::Until(flap(scene, image, 4)),
            None => Begun::NotYet,
        },
        AppMishap::BlueFlaps => Begun::Until(flap(scene, IMAGES[0].to_owned(), 4)),
        AppMishap::ServingDies => {
            let tasks = hand::serving_tasks(&scene.sandbox.world());
            if tasks.is_empty() {
                return Begun::NotYet;
            }
            tasks.iter().for_each(|task| drop(hand::stop_task(scene, task)));
            Begun::Done
        }
        AppMishap::NoCapacity => {
            behaves(scene, IMAGES.map(str::to_owned).to_vec(), |behaviour| behaviour.missing = true)
        }
    }
}

/// The image that the deployment under way brings.
fn newer(scene: &Scene) -> Option<String> {
    let world = scene.sandbox.world();
    let image = world.image_of(&hand::open(&world)?.definition)?;
    // What serves already, on either side, is nobody's newer one.
    let serves =
        world.sides(PRODUCTION).iter().any(|side| side.weight == 100 && side.image.as_ref() == Some(&image));
    (!serves).then_some(image)
}

/// Lets images behave otherwise, and as before when the time is over.
fn behaves(scene: &Scene, images: Vec<String>, change: impl Fn(&mut Behaviour)) -> Begun {
    let mut world = scene.sandbox.world();
    let mut before = Vec::new();
    for image in images {
        let mut behaviour = world.behaviour(&image);
        before.push((image.clone(), behaviour.clone()));
        change(&mut behaviour);
        world.set_behaviour(&image, behaviour);
    }
    Begun::Until(After::then(move |scene| {
        let mut world = scene.sandbox.world();
        before.into_iter().for_each(|(image, behaviour)| world.set_behaviour(&image, behaviour));
    }))
}

/// Turns an image's health over, so many times, the last time for the better.
fn flap(scene: &Scene, image: String, times: u32) -> After {
    turn(scene, &image, true);
    After::on(move |scene| carry_on(scene, image, times))
}

fn carry_on(scene: &Scene, image: String, left: u32) -> Next {
    turn(scene, &image, left % 2 == 1);
    (left > 0).then(|| (FLAP, After::on(move |scene| carry_on(scene, image, left - 1))))
}

fn turn(scene: &Scene, image: &str, unhealthy: bool) {
    let mut world = scene.sandbox.world();
    let behaviour = Behaviour { unhealthy, ..world.behaviour(image) };
    world.set_behaviour(image, behaviour);
}
