//! What the modelled server logs, as the daemon's own reader understands it.

use tidegate_model::schema::FilePhase;
use tidegate_schema::Attempt;

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn placeholder() {
    let world = World::new();
    let database = world.process();
    let epoch = database.claim(&world.release).await.unwrap();
    let file = world.files(FilePhase::Expand).remove(0);
    assert_eq!(database.expand(world.job(epoch), &file).await, Ok(Attempt::Done(())));
}
