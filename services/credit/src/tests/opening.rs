//! A round opens: positions are those of the present cycle.

use proto::{Credit, credit::v1::CreditPosition};

use super::*;

#[tokio::test]
async fn whose_cycle_ended_is_told_his_new_position_once() {
    for county in counties().await {
        county.open(&officer(), county.balance(1, 200, "2019-06-18")).await.unwrap();
        let told = county.feed::<CreditPosition>().await;
        let (_, before) = told.last().unwrap();
        assert_eq!((before.teacher.as_str(), before.cycle_ends_on), ("teachers/1", wire_day("2019-08-31")));
        assert_eq!(before.cycle_awarded.as_ref().map(|credit| credit.hundredths), Some(Credit::whole(200).0));

        let renew = Action::RenewCreditPositions;
        assert!(county.step(renew, "", "2019-08-31").await.is_empty(), "the cycle's last day belongs to it");
        assert_eq!(county.feed::<CreditPosition>().await.len(), told.len());
        assert_eq!(county.step(renew, "", "2019-09-01").await["renewed"], 1);
        let after = county.feed::<CreditPosition>().await.split_off(told.len());
        let [(verb, after)] = after.as_slice() else { panic!("{after:?}") };
        assert_eq!((verb.as_str(), after.teacher.as_str()), ("moved", "teachers/1"));
        assert_eq!(after.cycle_ends_on, wire_day("2024-08-31"));
        assert_eq!(
            after.cycle_awarded.as_ref().map(|credit| credit.hundredths),
            Some(0),
            "a cycle begins with nothing"
        );
        assert!(county.step(renew, "", "2019-09-14").await.is_empty(), "once");
    }
}
