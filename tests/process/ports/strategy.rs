use burn::tensor::Device;
use burn::train::{
    EventProcessorTraining, InferenceStep, Learner, LearnerEvent, LearnerModel,
    SupervisedLearningStrategy, SupervisedTrainingEventProcessor, TrainLoader, TrainingComponents,
    TrainingItem, ValidLoader,
};

pub struct OneDevice(pub Device);

impl<M: LearnerModel> SupervisedLearningStrategy<M> for OneDevice {
    fn fit(
        &self,
        components: TrainingComponents<M>,
        mut learner: Learner<M>,
        train: TrainLoader<M>,
        valid: ValidLoader<M>,
        starting_epoch: usize,
    ) -> (M, SupervisedTrainingEventProcessor<M>) {
        let train = train.to_device(&self.0);
        let valid = valid.to_device(&self.0.clone().inner());
        learner.fork(&self.0);
        let mut events = components.event_processor;
        for epoch in starting_epoch..=components.num_epochs {
            let event = LearnerEvent::StartSplit {
                epoch_number: epoch,
                total_items: train.num_items(),
            };
            events.process_train(event).unwrap();
            let mut batches = train.iter();
            while let Some(batch) = batches.next() {
                learner.lr_step();
                let output = learner.train_step(batch.unwrap());
                learner.optimizer_step(output.grads);
                let rate = learner.lr_current();
                let item = TrainingItem::new(output.item, batches.progress(), None, Some(rate));
                let event = LearnerEvent::ProcessedItem(item);
                events.process_train(event).unwrap();
            }
            events.process_train(LearnerEvent::EndSplit(epoch)).unwrap();

            let model = learner.model().valid();
            let event = LearnerEvent::StartSplit {
                epoch_number: epoch,
                total_items: valid.num_items(),
            };
            events.process_valid(event).unwrap();
            let mut batches = valid.iter();
            while let Some(batch) = batches.next() {
                let output = InferenceStep::step(&model, batch.unwrap());
                let item = TrainingItem::new(output, batches.progress(), None, None);
                let event = LearnerEvent::ProcessedItem(item);
                events.process_valid(event).unwrap();
            }
            events.process_valid(LearnerEvent::EndSplit(epoch)).unwrap();
            events.process_train(LearnerEvent::EndEpoch(epoch)).unwrap();
        }
        (learner.model(), events)
    }
}
