using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Claims;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Triggers;
using Microsoft.Extensions.Logging;

namespace Marmot.NotifyServer;

/// <summary>What the stages are made from.</summary>
/// <param name="Options">The settings, validated.</param>
/// <param name="OwnRelay">The relay in the same process, if there is one.</param>
/// <param name="Credentials">Makes providers from settings and files.</param>
/// <param name="Claims">Who does a trigger over all replicas; null: this process alone.</param>
/// <param name="SharedDevices">Who rings a device over all replicas; null: this process alone.</param>
/// <param name="Metrics">Counts everything.</param>
/// <param name="Time">The clock.</param>
/// <param name="Logger">Hears what an operator should.</param>
internal sealed record NotifyParts(
    NotifyOptions Options,
    OwnRelay OwnRelay,
    AppCredentials Credentials,
    IClaimStore? Claims,
    SharedDevices? SharedDevices,
    NotifyMetrics Metrics,
    TimeProvider Time,
    ILogger Logger);

/// <summary>The stages of a running server, in the order a trigger passes them.</summary>
/// <remarks>Owns all of them.</remarks>
internal sealed record NotifyStages(
    IReadOnlyList<NotifyApp> Apps,
    IReadOnlyList<InboxRelay> Relays,
    FairIntake Intake,
    EcBudget Budget,
    TriggerWorkers Workers,
    IClaimStore Claims,
    DeviceGate Devices,
    PushDispatcher Dispatcher) : IAsyncDisposable
{
    public async ValueTask DisposeAsync()
    {
        Intake.Dispose();
        await Dispatcher.DisposeAsync(); // the lanes, and the apps' keys with them
        foreach (var relay in Relays)
        {
            relay.Dispose();
        }
    }
}
