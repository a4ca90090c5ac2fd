using System.Net;
using System.Net.Sockets;

namespace Marmot.Benchmarks.RelayLoad;

/// <summary>One client's way to cost a relay far more than itself, from one address: threads that go on until they are stopped.</summary>
/// <param name="relay">The relay.</param>
/// <param name="from">Where the client comes from.</param>
internal abstract class Shape(IPEndPoint relay, IPAddress from) : IFlood, IDisposable
{
    private static readonly Dictionary<string, Func<IPEndPoint, IPAddress, Shape>> Shapes = new()
    {
        ["leave"] = (relay, from) => new MassLeave(relay, from),
        ["halves"] = (relay, from) => new HalfFrames(relay, from),
        ["connections"] = (relay, from) => new AllConnections(relay, from),
        ["tags"] = (relay, from) => new ManyTags(relay, from),
        ["vanish"] = (relay, from) => new MassVanish(relay, from),
        ["filters"] = (relay, from) => new HeldFilters(relay, from),
        ["listeners"] = (relay, from) => new ManyListeners(relay, from),
    };

    private readonly CancellationTokenSource _stop = new();
    private readonly List<Thread> _threads = [];
    private long _acts;

    public static IEnumerable<string> Names => Shapes.Keys;

    protected bool IsStopping => _stop.IsCancellationRequested;

    public static Shape Create(string name, IPEndPoint relay, IPAddress from) => Shapes[name](relay, from);

    public void Start()
    {
        _threads.AddRange(Roles().Select(role => new Thread(() => Repeat(role))));
        _threads.ForEach(thread => thread.Start());
    }

    /// <returns>How often the client did it, or was refused.</returns>
    public long Stop()
    {
        _stop.Cancel();
        _threads.ForEach(thread => thread.Join());
        return Interlocked.Read(ref _acts);
    }

    public virtual void Dispose() => _stop.Dispose();

    /// <summary>What its threads do, again and again; a connection that ends ends only that time.</summary>
    protected abstract IEnumerable<Action> Roles();

    protected void Count() => Interlocked.Increment(ref _acts);

    /// <summary>A connection on which a call that waits for the relay ends after a second.</summary>
    protected WireConnection Connect()
    {
        var connection = new WireConnection(relay, from);
        connection.Socket.SendTimeout = connection.Socket.ReceiveTimeout = 1000;
        return connection;
    }

    private void Repeat(Action role)
    {
        while (!IsStopping)
        {
            try
            {
                role();
            }
            catch (Exception e) when (e is SocketException or IOException)
            {
                // refused, cut off or held
            }

            Count();
        }
    }
}
