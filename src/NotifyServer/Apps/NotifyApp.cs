using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Providers;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Apps;

/// <summary>One app: its keys (the first is announced, the others retire) and its lanes.</summary>
internal sealed class NotifyApp : IAsyncDisposable
{
    private readonly PushLane? _apns;
    private readonly PushLane? _fcm;

    public NotifyApp(string name, IReadOnlyList<SecretKey> keys, PushLane? apns, PushLane? fcm)
    {
        Name = name;
        Keys = keys;
        _apns = apns;
        _fcm = fcm;
    }

    public string Name { get; }

    public IReadOnlyList<SecretKey> Keys { get; }

    public Bytes32 PublicKey => Keys[0].PublicKey;

    public IEnumerable<PushLane> Lanes => new[] { _apns, _fcm }.OfType<PushLane>();

    /// <summary>Reads keys and credentials; makes the key file on first run.</summary>
    public static NotifyApp Load(NotifyAppOptions options, NotifyOptions notify, NotifyMetrics metrics, TimeProvider time, out bool keyMade)
    {
        var keys = new List<SecretKey> { KeyFile.LoadOrCreate(options.KeyFile, out keyMade) };
        keys.AddRange(options.RetiringKeyFiles.Select(KeyFile.Load));
        return new NotifyApp(
            options.Name,
            keys,
            options.Apns.IsConfigured ? Lane(ApnsProvider.Create(options.Apns, options.CaFile, notify.ProviderTimeout, time)) : null,
            options.Fcm.IsConfigured ? Lane(FcmProvider.Create(options.Fcm, options.CaFile, notify.ProviderTimeout, time)) : null);

        PushLane Lane(IPushProvider provider) => new(options.Name, provider, notify.QueueCapacity, notify.Concurrency, metrics, time);
    }

    public PushLane? Lane(DevicePlatform platform) => platform == DevicePlatform.Apns ? _apns : _fcm;

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
}
