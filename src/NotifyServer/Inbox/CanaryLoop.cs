using Marmot.Hosting;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.RelayClient;
using Microsoft.Extensions.Logging;

namespace Marmot.NotifyServer.Inbox;

/// <summary>Sends our own triggers through one relay and judges it by their return.</summary>
internal sealed class CanaryLoop(InboxContext context, RelayConnection connection, SecretKey key, string relay, string app)
{
    /// <summary>Lost ones in a row after which a relay counts as deaf.</summary>
    public const int LostUntilDeaf = 2;

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Idle = TimeSpan.FromMinutes(1);

    private int _lost;

    /// <summary>True while the relay keeps the connection and delivers nothing.</summary>
    public bool IsDeaf => Volatile.Read(ref _lost) >= LostUntilDeaf;

    /// <summary>When one last came back, as <see cref="MonotonicTime.GetUptime"/> counts.</summary>
    public TimeSpan? LastArrival { get; private set; }

    /// <summary>A live event of whatever origin came in: the relay delivers.</summary>
    public void Heard() => Volatile.Write(ref _lost, 0);

    /// <summary>Runs until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var first = true;
        try
        {
            while (true)
            {
                await Task.Delay(Pause(first), context.Time, cancellationToken);
                if (context.Options.CanaryInterval > TimeSpan.Zero && connection.State == RelayState.Live)
                {
                    first = false;
                    await SendAsync(cancellationToken);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopped.
        }
    }

    private TimeSpan Pause(bool first)
    {
        var interval = context.Options.CanaryInterval;
        return interval == TimeSpan.Zero ? Idle // it may be switched on by a reload
            : first && FirstPause < interval ? FirstPause
            : interval * (0.9 + (0.2 * Random.Shared.NextDouble())); // not all servers of a relay at once
    }

    private async Task SendAsync(CancellationToken cancellationToken)
    {
        var flight = context.Canaries.Start(relay, key);
        try
        {
            // 1. A relay that takes no trigger of ours cannot be measured; that is not deafness.
            var result = await connection.PublishAsync(flight.Wrap, cancellationToken);
            if (!result.Accepted)
            {
                context.Metrics.Canary(relay, CanaryOutcome.Refused);
                NotifyLog.CanaryRefused(context.Logger, relay, app, result.Prefix.Label());
                return;
            }

            // 2. It comes back through the subscription, or it does not.
            await flight.Arrival.Task.WaitAsync(context.Options.CanaryTimeout, context.Time, cancellationToken);
            LastArrival = context.Time.GetUptime();
            Volatile.Write(ref _lost, 0);
            context.Metrics.Canary(relay, CanaryOutcome.Arrived);
        }
        catch (TimeoutException)
        {
            var lost = Interlocked.Increment(ref _lost);
            context.Metrics.Canary(relay, CanaryOutcome.Lost);
            NotifyLog.CanaryLost(context.Logger, relay, app, context.Options.CanaryTimeout, lost);
            if (lost >= LostUntilDeaf)
            {
                connection.Restart(); // a fresh connection, authentication and subscription is all that can be done from here
            }
        }
        finally
        {
            context.Canaries.End(flight);
        }
    }
}
