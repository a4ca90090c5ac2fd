using Marmot.NotifyServer.Inbox;
using Microsoft.Extensions.Logging;

namespace Marmot.NotifyServer.Triggers;

/// <summary>The loops that take events from the intake, as the budget allows, one a core.</summary>
internal sealed class TriggerWorkers(
    FairIntake intake,
    EcBudget budget,
    TriggerPipelineContext context,
    IReadOnlyList<string> relayNames,
    int count,
    ILogger logger)
{
    /// <summary>Each runs until the intake is closed and empty, or cancelled.</summary>
    public IEnumerable<Task> Start(CancellationToken cancellationToken) =>
        Enumerable.Range(0, count).Select(_ => Task.Run(() => WorkAsync(cancellationToken), CancellationToken.None));

    private async Task WorkAsync(CancellationToken cancellationToken)
    {
        using var pipeline = new TriggerPipeline(context);
        try
        {
            while (await intake.TakeAsync(cancellationToken) is { } item)
            {
                using (item)
                {
                    await WaitForBudgetAsync(cancellationToken);
                    await ProcessAsync(pipeline, item, cancellationToken);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    private async Task ProcessAsync(TriggerPipeline pipeline, IntakeItem item, CancellationToken cancellationToken)
    {
        var relay = relayNames[item.Relay];
        var started = context.Time.GetTimestamp();
        try
        {
            var outcome = await pipeline.ProcessAsync(
                item,
                operations =>
                {
                    budget.Charge(operations);
                    intake.Charge(item.Relay, operations);
                    context.Metrics.Operations(relay, operations);
                },
                cancellationToken);
            context.Metrics.Event(relay, outcome);
            context.Metrics.TriggerTime(context.Time.GetElapsedTime(started));
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            context.Metrics.Fault(e);
            NotifyLog.WorkerFault(logger, e.GetType().Name);
        }
    }

    private async ValueTask WaitForBudgetAsync(CancellationToken cancellationToken)
    {
        while (budget.UntilAvailable() is var wait && wait > TimeSpan.Zero)
        {
            await Task.Delay(wait, context.Time, cancellationToken);
        }
    }
}
