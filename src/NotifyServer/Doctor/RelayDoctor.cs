using System.Runtime.CompilerServices;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Providers;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.RelayClient;

namespace Marmot.NotifyServer.Doctor;

/// <summary>Looks at one inbox relay as the server itself would use it: limits, authentication, subscription, a padding-only trigger there and back.</summary>
internal static class RelayDoctor
{
    public static async IAsyncEnumerable<DoctorFinding> ExamineAsync(
        NotifyOptions options, string app, SecretKey? key, string relay, TimeProvider time, [EnumeratorCancellation] CancellationToken stop)
    {
        var name = RelayUrl.Normalise(relay);
        var roots = ProviderHttp.LoadRoots(options.RelayCaFile);
        yield return await NotifyDoctor.CheckAsync($"relay {name}: limits",
            async token => await RelayLimits.ReadAsync(new Uri(relay), roots, time, token) switch
        {
            null => (DoctorVerdict.Warning, "no information document"),
            { Count: 0 } => (DoctorVerdict.Passed, "none that harms"),
            var limits => (DoctorVerdict.Warning, string.Join("; ", limits.Select(limit => limit.Warning))),
        }, stop);
        if (key is null)
        {
            yield break; // the relay shows itself to the key only
        }

        using var metrics = new NotifyMetrics(time);
        var canaries = new Canaries(metrics, time);
        var observer = new Observer(canaries, name);
        var connection = new RelayConnection(
            new RelayConnectionOptions
            {
                Url = new Uri(relay),
                AuthKey = key,
                TrustedRoots = roots,
                EoseTimeout = options.EoseTimeout,
                MaxMessageBytes = options.MaxEventBytes + 1024,
                Subscription = () => [new Filter
                {
                    Kinds = [GiftWrap.Kind],
                    Tags = new Dictionary<char, string[]> { ['p'] = [key.PublicKey.ToString()] },
                    Since = time.GetUtcNow().ToUnixTimeSeconds() - GiftWrap.MaxBackdateSeconds,
                    Limit = 0,
                }],
            },
            observer,
            time);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var running = connection.RunAsync(end.Token);
        var subscription = await NotifyDoctor.CheckAsync($"relay {name}: subscription ({app})", async token =>
        {
            await observer.Live.WaitAsync(token);
            return observer.EoseMissing ? (DoctorVerdict.Warning, "live, but without EOSE")
                : (DoctorVerdict.Passed, connection.IsAuthenticated ? "live, authenticated" : "live, no authentication asked for");
        }, stop);
        yield return subscription.Verdict == DoctorVerdict.Failed
            ? subscription with { Detail = $"{connection.State.Label()}: {subscription.Detail}" }
            : subscription;
        if (subscription.Verdict != DoctorVerdict.Failed)
        {
            yield return await NotifyDoctor.CheckAsync($"relay {name}: trigger there and back ({app})", async token =>
            {
                var flight = canaries.Start(name, key);
                var sent = await connection.PublishAsync(flight.Wrap, token);
                if (!sent.Accepted)
                {
                    return (DoctorVerdict.Warning, $"takes no trigger of ours: {sent.Prefix.Label()}");
                }

                await flight.Arrival.Task.WaitAsync(token);
                return (DoctorVerdict.Passed, "delivered");
            }, stop);
        }

        await end.CancelAsync();
        await running;
    }

    private sealed class Observer(Canaries canaries, string relay) : IRelayConnectionObserver
    {
        private readonly TaskCompletionSource _live = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Live => _live.Task;

        public bool EoseMissing { get; private set; }

        public void OnEvent(in NostrEventView evt, bool live) => canaries.Arrived(relay, evt.Id);

        public void OnState(RelayState state)
        {
            if (state == RelayState.Live)
            {
                _live.TrySetResult();
            }
        }

        public void OnClosed(RejectPrefix prefix, TimeSpan pause)
        {
            // The state says it.
        }

        public void OnAuth(bool accepted)
        {
            // The state says it.
        }

        public void OnEoseMissing() => EoseMissing = true;

        public void OnReady()
        {
            // Nothing is published on connecting.
        }
    }
}
