using System.Security.Cryptography;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.GiftWraps;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Inbox;

/// <summary>Our own triggers under way: padding only, so that they can ring nobody, each through one relay, known again by event id and by content.</summary>
/// <remarks>The only way to notice a relay that keeps the connection and delivers nothing. To a relay and to everybody else they look like any trigger.
/// Thread-safe.</remarks>
internal sealed class Canaries(NotifyMetrics metrics, TimeProvider time)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<Bytes32, Flight> _byWrap = [];
    private readonly Dictionary<Bytes32, Flight> _byContent = [];

    /// <summary>Makes a trigger of random padding to this key.</summary>
    public Flight Start(string relay, SecretKey key)
    {
        var padding = RandomNumberGenerator.GetBytes(TokenDialect.MarmotPushV1.TokenSize);
        using var author = SecretKey.Generate();
        var rumor = Trigger.CreateRumor(author.PublicKey, TokenDialect.MarmotPushV1, padding, time.GetUtcNow().ToUnixTimeSeconds());
        var wrap = GiftWrap.Create(rumor, author, key.PublicKey, time);
        var flight = new Flight(relay, wrap, TriggerPipeline.TriggerHash(TokenDialect.MarmotPushV1, key.PublicKey, padding, createdAt: 0), time.GetTimestamp());
        lock (_gate)
        {
            _byWrap[wrap.Id] = flight;
            _byContent[flight.Content] = flight;
        }

        return flight;
    }

    /// <summary>An event came in through a relay: if it is ours and from the relay it was sent through, the relay delivers.</summary>
    public void Arrived(string relay, in Bytes32 wrap)
    {
        Flight? flight;
        lock (_gate)
        {
            if (_byWrap.Count == 0 || !_byWrap.TryGetValue(wrap, out flight) || flight.Relay != relay)
            {
                return;
            }
        }

        if (flight.Arrival.TrySetResult())
        {
            metrics.CanaryArrived(relay, time.GetElapsedTime(flight.Started));
        }
    }

    /// <summary>True when an opened trigger is one of ours: the whole way to the tokens works.</summary>
    public bool TryRecognise(in Bytes32 content)
    {
        Flight? flight;
        lock (_gate)
        {
            if (_byContent.Count == 0 || !_byContent.Remove(content, out flight))
            {
                return false;
            }
        }

        metrics.CanaryDone(flight.Relay, time.GetElapsedTime(flight.Started));
        return true;
    }

    /// <summary>Waited for long enough. A late one is an ordinary trigger that rings nobody.</summary>
    public void End(Flight flight)
    {
        lock (_gate)
        {
            _byWrap.Remove(flight.Wrap.Id);
            _byContent.Remove(flight.Content);
        }
    }

    internal sealed class Flight(string relay, NostrEvent wrap, Bytes32 content, long started)
    {
        public string Relay => relay;

        public NostrEvent Wrap => wrap;

        public Bytes32 Content => content;

        public long Started => started;

        public TaskCompletionSource Arrival { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
