using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Providers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Apps;

/// <summary>One app: its keys (the first is announced, the others retire) and its lanes.</summary>
internal sealed class NotifyApp : IAsyncDisposable
{
    private readonly AppCredentials? _credentials;
    private readonly Func<IPushProvider, PushLane> _createLane;
    private PushLane? _apns;
    private PushLane? _fcm;
    private string _apnsMark = "";
    private string _fcmMark = "";

    private NotifyApp(string name, IReadOnlyList<SecretKey> keys, AppCredentials? credentials, Func<IPushProvider, PushLane> createLane)
    {
        Name = name;
        Keys = keys;
        _credentials = credentials;
        _createLane = createLane;
    }

    /// <summary>With lanes made elsewhere; it has no credentials to reload.</summary>
    public NotifyApp(string name, IReadOnlyList<SecretKey> keys, PushLane? apns, PushLane? fcm)
        : this(name, keys, null, _ => throw new InvalidOperationException("this app's lanes are given"))
    {
        _apns = apns;
        _fcm = fcm;
    }

    public string Name { get; }

    public IReadOnlyList<SecretKey> Keys { get; }

    public Bytes32 PublicKey => Keys[0].PublicKey;

    public IEnumerable<PushLane> Lanes => new[] { Volatile.Read(ref _apns), Volatile.Read(ref _fcm) }.OfType<PushLane>();

    /// <summary>Reads keys and credentials; makes the key file on first run.</summary>
    public static NotifyApp Load(NotifyAppOptions options, NotifyOptions notify, AppCredentials credentials, NotifyMetrics metrics, TimeProvider time,
        out bool keyMade)
    {
        var keys = new List<SecretKey> { KeyFile.LoadOrCreate(options.KeyFile, out keyMade) };
        keys.AddRange(options.RetiringKeyFiles.Select(KeyFile.Load));
        var app = new NotifyApp(options.Name, keys, credentials,
            provider => new PushLane(options.Name, provider, notify.QueueCapacity, notify.Concurrency, metrics, time));
        app.Reload(options, notify);
        return app;
    }

    public PushLane? Lane(DevicePlatform platform) => platform == DevicePlatform.Apns ? Volatile.Read(ref _apns) : Volatile.Read(ref _fcm);

    /// <summary>Takes over changed credentials, provider settings and limits. What is queued stays queued and goes out under the new ones.</summary>
    /// <returns>The providers that were replaced, for the log.</returns>
    /// <exception cref="InvalidDataException">A file is not what it should be; everything stays as it was for that provider.</exception>
    public IReadOnlyList<string> Reload(NotifyAppOptions options, NotifyOptions notify)
    {
        foreach (var lane in Lanes)
        {
            lane.SetLimits(notify.QueueCapacity, notify.Concurrency);
        }

        var changed = new List<string>();
        Take(ref _apns, ref _apnsMark, AppCredentials.MarkOfApns(options, notify), () => _credentials!.CreateApns(options, notify), changed, "apns");
        Take(ref _fcm, ref _fcmMark, AppCredentials.MarkOfFcm(options, notify), () => _credentials!.CreateFcm(options, notify), changed, "fcm");
        return changed;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var lane in Lanes)
        {
            await lane.DisposeAsync();
        }

        foreach (var key in Keys)
        {
            key.Dispose();
        }
    }

    private void Take(ref PushLane? lane, ref string mark, string newMark, Func<IPushProvider?> create, List<string> changed, string name)
    {
        if (mark == newMark)
        {
            return;
        }

        var provider = create();
        mark = newMark;
        switch (lane, provider)
        {
            case (null, null):
                return;
            case (null, _):
                Volatile.Write(ref lane, _createLane(provider!));
                break;
            case (_, null):
                // Only new tokens are turned away: what was admitted ends on the old credentials.
                _ = Interlocked.Exchange(ref lane, null)!.EndAsync();
                break;
            default:
                lane.Replace(provider!);
                break;
        }

        changed.Add(name);
    }
}
