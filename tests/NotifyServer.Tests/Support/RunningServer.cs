using Marmot.ProviderSimulators;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.NotifyServer.Tests.Support;

/// <summary>The whole server against both simulators and scripted relays, in this process.</summary>
internal sealed class RunningServer : IAsyncDisposable
{
    private readonly bool _ownsProviders;

    private RunningServer(NotifyService service, NotifyMetrics metrics, MetricsProbe probe, SimulatedProviders providers, bool ownsProviders, string folder,
        NotifyOptions options)
    {
        Service = service;
        Metrics = metrics;
        Probe = probe;
        Providers = providers;
        _ownsProviders = ownsProviders;
        Folder = folder;
        Options = options;
    }

    public const string Topic = "org.example.app";

    public NotifyService Service { get; }

    public NotifyMetrics Metrics { get; }

    public MetricsProbe Probe { get; }

    public SimulatedProviders Providers { get; }

    public ApnsSimulator Apns => Providers.Apns;

    public FcmSimulator Fcm => Providers.Fcm;

    public string Folder { get; }

    public NotifyOptions Options { get; }

    public Protocol.Encoding.Bytes32 PublicKey => Service.Apps[0].PublicKey;

    /// <param name="relays">Its inbox.</param>
    /// <param name="configure">Changes to the settings.</param>
    /// <param name="time">The server's clock; the simulators keep theirs. By default one whose date steps by hours at each reading, which simulators of the
    /// server's own bear with.</param>
    /// <param name="nsec">The app's key.</param>
    /// <param name="providers">Simulators that outlive this server.</param>
    /// <param name="extras">What a host would inject.</param>
    public static async Task<RunningServer> StartAsync(
        IEnumerable<TestRelay> relays,
        Action<NotifyOptions>? configure = null,
        TimeProvider? time = null,
        string? nsec = null,
        SimulatedProviders? providers = null,
        ServerExtras? extras = null)
    {
        var folder = Directory.CreateTempSubdirectory("notify").FullName;
        var ownsProviders = providers is null;
        time ??= ownsProviders ? new SteppingClock() : Clock.Running();
        providers ??= await SimulatedProviders.StartAsync(SimulatedProviders.BearSteps, SimulatedProviders.BearSteps);
        var options = CreateOptions(folder, providers, relays.Select(relay => relay.Url), nsec);
        configure?.Invoke(options);
        var check = new NotifyOptionsValidator().Validate(null, options);
        Assert.True(check.Succeeded, check.FailureMessage);

        var metrics = new NotifyMetrics(time);
        var probe = new MetricsProbe(metrics);
        var service = new NotifyService(
            Microsoft.Extensions.Options.Options.Create(options),
            new OwnRelay(null, null),
            metrics,
            time,
            extras?.Logger ?? NullLogger<NotifyService>.Instance,
            extras?.Lifetime,
            extras?.Settings,
            extras?.Claims,
            extras?.SharedTokens,
            extras?.SharedDevices)
        {
            ExitWith = code => extras?.ExitCodes.Add(code),
        };
        await service.StartAsync(CancellationToken.None);
        return new RunningServer(service, metrics, probe, providers, ownsProviders, folder, options);
    }

    /// <summary>The settings of a server against these simulators, its secrets written into the folder.</summary>
    public static NotifyOptions CreateOptions(string folder, SimulatedProviders providers, IEnumerable<string> relays, string? nsec = null)
    {
        Secret(folder, "apns.p8", providers.Apns.PrivateKeyPem ?? "set by the test");
        Secret(folder, "fcm.json", providers.Fcm.ServiceAccountJson);
        Secret(folder, "ca.pem", providers.Apns.CaCertificatePem);
        if (nsec is not null)
        {
            Secret(folder, "notify.key", nsec);
        }

        var options = new NotifyOptions
        {
            EcOperationsPerSecond = 1_000_000,
            ReconnectBase = TimeSpan.FromMilliseconds(20),
            ReconnectMax = TimeSpan.FromMilliseconds(200),
            CanaryInterval = TimeSpan.Zero,
            ReloadInterval = TimeSpan.Zero,
        };
        foreach (var relay in relays)
        {
            options.Relays.Add(relay);
        }

        options.Apps.Add(new NotifyAppOptions
        {
            Name = "app",
            KeyFile = Path.Combine(folder, "notify.key"),
            CaFile = Path.Combine(folder, "ca.pem"),
            Apns = new ApnsOptions
            {
                TeamId = providers.Apns.TeamId,
                KeyId = providers.Apns.KeyId,
                KeyFile = Path.Combine(folder, "apns.p8"),
                Topic = Topic,
                Endpoint = providers.Apns.Endpoint.AbsoluteUri,
            },
            Fcm = new FcmOptions { ServiceAccountFile = Path.Combine(folder, "fcm.json"), Endpoint = providers.Fcm.Endpoint.AbsoluteUri },
        });
        return options;
    }

    public static void Secret(string folder, string name, string text)
    {
        if (!OperatingSystem.IsWindows())
        {
            var options = new FileStreamOptions
            {
                Mode = FileMode.Create,
                Access = FileAccess.Write,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            };
            using var file = new FileStream(Path.Combine(folder, name), options);
            file.Write(System.Text.Encoding.UTF8.GetBytes(text));
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
        if (_ownsProviders)
        {
            await Providers.DisposeAsync();
        }

        Directory.Delete(Folder, recursive: true);
    }
}

/// <summary>What a host would inject into the service.</summary>
internal sealed class ServerExtras
{
    public Microsoft.Extensions.Logging.ILogger<NotifyService>? Logger { get; init; }

    public Microsoft.Extensions.Hosting.IHostApplicationLifetime? Lifetime { get; init; }

    public ISettingsSource? Settings { get; init; }

    public NotifyServer.Triggers.IClaimStore? Claims { get; init; }

    public NotifyServer.Claims.SharedProviderTokens? SharedTokens { get; init; }

    public NotifyServer.Claims.SharedDevices? SharedDevices { get; init; }

    public List<int> ExitCodes { get; } = [];
}

/// <summary>Device tokens and what the simulators call them.</summary>
internal static class Device
{
    public static (DevicePlatform, byte[]) Apns(byte seed) => (DevicePlatform.Apns, Bytes(seed));

    public static string ApnsName(byte seed) => Convert.ToHexStringLower(Bytes(seed));

    public static (DevicePlatform, byte[]) Fcm(string name) => (DevicePlatform.Fcm, System.Text.Encoding.ASCII.GetBytes(name));

    private static byte[] Bytes(byte seed) => [.. Enumerable.Repeat(seed, 32)];
}
