using System.Collections.Concurrent;
using Marmot.Hosting;
using Marmot.Hosting.Cluster;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Claims;
using Marmot.NotifyServer.Dispatch;
using Marmot.NotifyServer.Inbox;
using Marmot.NotifyServer.Providers;
using Marmot.NotifyServer.Triggers;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;

namespace Marmot.NotifyServer.Tests.Support;

/// <summary>One worker's pipeline and one lane into a list, without relays, providers or a clock that moves by itself.</summary>
internal sealed class PipelineRig : IAsyncDisposable
{
    private readonly SecretKey _key;
    private readonly NotifyApp _app;
    private readonly NotifyMetrics _metrics;
    private readonly TriggerPipeline _pipeline;
    private readonly SharedDevices? _devices;
    private readonly TimeProvider _time;

    /// <param name="time">The clock.</param>
    /// <param name="configure">Changes to the settings.</param>
    /// <param name="nsec">The app's key in hex; none, a fresh one.</param>
    /// <param name="ledger">What it shares with other replicas.</param>
    public PipelineRig(TimeProvider time, Action<NotifyOptions>? configure = null, string? nsec = null, IClaimLedger? ledger = null)
    {
        _time = time;
        Assert.True(SecretKey.TryParse(nsec ?? Convert.ToHexStringLower(System.Security.Cryptography.RandomNumberGenerator.GetBytes(32)), out var key));
        _key = key;
        var options = new NotifyOptions { LimiterCapacity = 1024 };
        configure?.Invoke(options);
        _metrics = new NotifyMetrics(time);
        Probe = new MetricsProbe(_metrics);
        Lane = new PushLane("app", Sent, options.QueueCapacity, options.Concurrency, _metrics, time);
        _app = new NotifyApp("app", [key], Lane, null);
        var replays = new ReplayCache(1000, options.ReplayWindow, time);
        Claims = ledger is null ? null : new SharedClaims(replays, ledger, options.ReplayWindow, _metrics, time);
        _devices = ledger is null ? null : new SharedDevices(ledger, Claims!, _metrics, time);
        _pipeline = new TriggerPipeline(new TriggerPipelineContext(
            options,
            new KeyRing([_app]),
            new SeenEvents(1000),
            Claims ?? (IClaimStore)replays,
            new DeviceGate(options, time),
            new Canaries(_metrics, time),
            _metrics,
            time,
            _devices));
    }

    public MetricsProbe Probe { get; }

    public PushLane Lane { get; }

    public SharedClaims? Claims { get; }

    public SendList Sent { get; } = new();

    /// <summary>A fresh trigger for these devices goes all its way; its outcome.</summary>
    public async Task<string> HintAsync(params IReadOnlyList<(DevicePlatform, byte[])> devices)
    {
        var json = TestTrigger.Create(_key.PublicKey, TokenDialect.MarmotPushV1, devices, TimeProvider.System).Json;
        var buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(json.Length);
        json.CopyTo(buffer);
        using var item = new IntakeItem(buffer, json.Length, 0, _time.GetUptime());
        return (await _pipeline.ProcessAsync(item, _ => { }, CancellationToken.None)).Label();
    }

    public async ValueTask DisposeAsync()
    {
        _pipeline.Dispose();
        await _app.DisposeAsync();
        _devices?.Dispose();
        Probe.Dispose();
        _metrics.Dispose();
    }

    /// <summary>Takes every push and remembers it.</summary>
    internal sealed class SendList : IPushProvider
    {
        private readonly ConcurrentQueue<(string Token, TimeSpan Deadline)> _sent = new();

        public string Name => "apns";

        public int RepeatsAfterTimeout => 0;

        public int Count => _sent.Count;

        public TimeSpan LastDeadline => _sent.Last().Deadline;

        public bool IsPlausible(ReadOnlySpan<byte> deviceToken) => true;

        public ValueTask<PushVerdict> SendAsync(PushJob job, CancellationToken cancellationToken)
        {
            _sent.Enqueue((Convert.ToHexStringLower(job.DeviceToken), job.Deadline));
            return new ValueTask<PushVerdict>(PushVerdict.Accepted);
        }

        public void Dispose()
        {
        }
    }
}
