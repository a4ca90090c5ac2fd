using System.Net;
using System.Security.Cryptography.X509Certificates;
using Marmot.Hosting.Outgoing;

namespace Marmot.NotifyServer.Providers;

/// <summary>A few long-lived HTTP/2 connections, taken in turn; each is replaced when it stops answering.</summary>
/// <remarks>The framework's pings stop once a connection has seen GOAWAY or is at its stream limit (dotnet/runtime#120179), so two time-outs
/// in a row retire a connection here. Apple opens with one stream until a provider token has been accepted; the first request of a connection therefore
/// goes alone, and the others wait for it instead of opening more connections.</remarks>
internal sealed class ApnsConnections : IDisposable
{
    private const int TimeoutsBeforeRetirement = 2;
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(1);

    private readonly Slot[] _slots;
    private readonly X509Certificate2Collection? _roots;
    private readonly TimeProvider _time;
    private uint _next;

    public ApnsConnections(int count, X509Certificate2Collection? roots, TimeProvider time)
    {
        _roots = roots;
        _time = time;
        _slots = new Slot[count];
        for (var i = 0; i < count; i++)
        {
            _slots[i] = new Slot(Create());
        }
    }

    /// <summary>Connections given up since the start.</summary>
    public int Retired { get; private set; }

    public Slot Next() => Volatile.Read(ref _slots[Interlocked.Increment(ref _next) % (uint)_slots.Length]);

    /// <summary>Counts a time-out and replaces the connection at the second in a row.</summary>
    public void TimedOut(Slot slot)
    {
        if (Interlocked.Increment(ref slot.Timeouts) >= TimeoutsBeforeRetirement)
        {
            Retire(slot);
        }
    }

    /// <summary>New requests go to a new connection; those under way may end on the old one.</summary>
    public void Retire(Slot slot)
    {
        var index = Array.IndexOf(_slots, slot);
        if (index < 0 || Interlocked.CompareExchange(ref _slots[index], new Slot(Create()), slot) != slot)
        {
            return;
        }

        Retired++;
        _ = DisposeLaterAsync(slot);
    }

    public void Dispose()
    {
        foreach (var slot in _slots)
        {
            slot.Client.Dispose();
        }
    }

    private async Task DisposeLaterAsync(Slot slot)
    {
        await Task.Delay(Grace, _time);
        slot.Client.Dispose();
    }

    private HttpClient Create()
    {
        var handler = ProviderHttp.CreateHandler(_roots);
        handler.EnableMultipleHttp2Connections = false; // the slots are the connections
        var client = OutgoingHttp.CreateClient(timeout: null, handler); // each request has its own deadline
        client.DefaultRequestVersion = HttpVersion.Version20;
        client.DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact;
        return client;
    }

    internal sealed class Slot(HttpClient client)
    {
        public int Timeouts;

        public HttpClient Client { get; } = client;

        /// <summary>Held by the first request until the connection has accepted a provider token.</summary>
        public SemaphoreSlim FirstRequest { get; } = new(1, 1);

        public volatile bool IsProven;
    }
}
