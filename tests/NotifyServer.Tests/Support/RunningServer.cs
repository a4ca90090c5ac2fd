using Marmot.NotifyServer.Simulators;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace Marmot.NotifyServer.Tests.Support;

/// <summary>The whole server against both simulators and scripted relays, in this process.</summary>
internal sealed class RunningServer : IAsyncDisposable
{
    private RunningServer(NotifyService service, NotifyMetrics metrics, MetricsProbe probe, ApnsSimulator apns, FcmSimulator fcm, string folder)
    {
        Service = service;
        Metrics = metrics;
        Probe = probe;
        Apns = apns;
        Fcm = fcm;
        Folder = folder;
    }

    public const string Topic = "org.example.app";

    public NotifyService Service { get; }

    public NotifyMetrics Metrics { get; }

    public MetricsProbe Probe { get; }

    public ApnsSimulator Apns { get; }

    public FcmSimulator Fcm { get; }

    public string Folder { get; }

    public Protocol.Encoding.Bytes32 PublicKey => Service.Apps[0].PublicKey;

    public static async Task<RunningServer> StartAsync(IEnumerable<TestRelay> relays, Action<NotifyOptions>? configure = null, TimeProvider? time = null, string? nsec = null)
    {
        var folder = Directory.CreateTempSubdirectory("notify").FullName;
        var authority = SimulatorAuthority.Create([]);
        var apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions { Authority = authority }, CancellationToken.None);
        var fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions { Authority = authority }, CancellationToken.None);
        Secret("apns.p8", apns.PrivateKeyPem!);
        Secret("fcm.json", fcm.ServiceAccountJson);
        Secret("ca.pem", apns.CaCertificatePem);
        if (nsec is not null)
        {
            Secret("notify.key", nsec);
        }

        var options = new NotifyOptions { EcOperationsPerSecond = 1_000_000, ReconnectBase = TimeSpan.FromMilliseconds(20), ReconnectMax = TimeSpan.FromMilliseconds(200), CanaryInterval = TimeSpan.Zero };
        foreach (var relay in relays)
        {
            options.Relays.Add(relay.Url);
        }

        options.Apps.Add(new NotifyAppOptions
        {
            Name = "app",
            KeyFile = Path.Combine(folder, "notify.key"),
            CaFile = Path.Combine(folder, "ca.pem"),
            Apns = new ApnsOptions
            {
                TeamId = apns.TeamId,
                KeyId = apns.KeyId,
                KeyFile = Path.Combine(folder, "apns.p8"),
                Topic = Topic,
                Endpoint = apns.Endpoint.AbsoluteUri,
            },
            Fcm = new FcmOptions { ServiceAccountFile = Path.Combine(folder, "fcm.json"), Endpoint = fcm.Endpoint.AbsoluteUri },
        });
        configure?.Invoke(options);
        var check = new NotifyOptionsValidator().Validate(null, options);
        Assert.True(check.Succeeded, check.FailureMessage);

        time ??= TimeProvider.System;
        var metrics = new NotifyMetrics(time);
        var probe = new MetricsProbe(metrics);
        var service = new NotifyService(Options.Create(options), new OwnRelay(null, null), metrics, time, NullLogger<NotifyService>.Instance);
        await service.StartAsync(CancellationToken.None);
        return new RunningServer(service, metrics, probe, apns, fcm, folder);

        void Secret(string name, string text)
        {
            var path = Path.Combine(folder, name);
            Assert.True(NotifyServer.Apps.SecretFile.TryCreate(path, System.Text.Encoding.UTF8.GetBytes(text)));
        }
    }

    /// <summary>A fresh trigger for these devices.</summary>
    public NostrEvent Trigger(TokenDialect dialect, params IReadOnlyList<(DevicePlatform, byte[])> devices) =>
        TestTrigger.Create(PublicKey, dialect, devices, TimeProvider.System);

    public async ValueTask DisposeAsync()
    {
        await Service.DisposeAsync();
        Probe.Dispose();
        Metrics.Dispose();
        await Apns.DisposeAsync();
        await Fcm.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }
}

/// <summary>Device tokens and what the simulators call them.</summary>
internal static class Device
{
    public static (DevicePlatform, byte[]) Apns(byte seed) => (DevicePlatform.Apns, Bytes(seed));

    public static string ApnsName(byte seed) => Convert.ToHexStringLower(Bytes(seed));

    public static (DevicePlatform, byte[]) Fcm(string name) => (DevicePlatform.Fcm, System.Text.Encoding.ASCII.GetBytes(name));

    private static byte[] Bytes(byte seed) => [.. Enumerable.Repeat(seed, 32)];
}
