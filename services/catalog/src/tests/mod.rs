//! The catalog on both engines: each suite runs through the handlers, on a fresh database of each.

mod browse;
mod expansion;
mod life;
mod plans;
mod review;
mod steps;
mod world;

/// A suite that runs on a fresh database of each engine.
macro_rules! on_both_engines {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            for database in chassis::testing::databases("catalog", crate::migrations, 0).await.unwrap() {
                let world = crate::tests::world::World::new(&database.db).await;
                suite::$name(&world).await;
            }
        }
    )*};
}
use on_both_engines;
