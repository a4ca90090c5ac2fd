using System.Security.Cryptography;
using Marmot.NotifyServer.Providers;
using Marmot.ProviderSimulators;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Protocol.Push;
using Marmot.TestKit;

namespace Marmot.NotifyServer.Tests;

/// <summary>Credentials and limits are exchanged while pushes are on their way.</summary>
public sealed class ReloadTests : IDisposable
{
    private readonly ECDsa _first = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly ECDsa _second = ECDsa.Create(ECCurve.NamedCurves.nistP256);

    [Fact]
    public async Task Pushes_that_wait_for_a_good_credential_go_out_as_soon_as_there_is_one()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var providers = await StartWithTwoKeysAsync();
        var settings = new TestSettings();
        await using var server = await RunningServer.StartAsync([relay], options => UseKey(options, "KEYNUMBER1", _first), providers: providers,
            extras: new ServerExtras { Settings = settings });
        await relay.SubscribedAsync();
        providers.Apns.RevokeKey("KEYNUMBER1");
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(1, 20).Select(i => Device.Apns((byte)i))]));
        await server.Probe.UntilAsync("marmot_notify_push_retries", 20);
        Assert.False(new LaneHealth(server.Service).Check().Ready);

        // The operator writes the new key; the pushes do not wait out the circuit's half minute, and each rings once.
        settings.Change = options => UseKey(options, "KEYNUMBER2", _second);
        settings.Base = server.Options;
        server.Service.RequestReload();
        await server.Probe.UntilAsync("marmot_notify_reloads:done", 1);
        await server.Probe.EndedAsync("accepted", 20);
        Assert.True(new LaneHealth(server.Service).Check().Ready);
        Assert.All(Enumerable.Range(1, 20), n => Assert.Equal(1, providers.Apns.DeliveriesFor(Device.ApnsName((byte)n))));
    }

    [Fact]
    public async Task A_rotation_in_the_middle_of_traffic_loses_and_doubles_nothing()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var providers = await StartWithTwoKeysAsync(apns => apns.Latency = TimeSpan.FromMilliseconds(5));
        var settings = new TestSettings();
        await using var server = await RunningServer.StartAsync([relay], options => UseKey(options, "KEYNUMBER1", _first), providers: providers,
            extras: new ServerExtras { Settings = settings });
        await relay.SubscribedAsync();
        settings.Base = server.Options;
        for (var i = 0; i < 10; i++)
        {
            await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, [.. Enumerable.Range(i * 20, 20).Select(n => Device.Apns((byte)n))]));
            settings.Change = i % 2 == 0 ? options => UseKey(options, "KEYNUMBER2", _second) : options => UseKey(options, "KEYNUMBER1", _first);
            server.Service.RequestReload();
            await server.Probe.UntilAsync("marmot_notify_reloads:done", i + 1);
        }

        await server.Probe.EndedAsync("accepted", 200);
        Assert.All(Enumerable.Range(0, 200), n => Assert.Equal(1, providers.Apns.DeliveriesFor(Device.ApnsName((byte)n))));
        Assert.Equal(2, providers.Apns.ProviderTokenCount); // going back to a key mints nothing: Apple counts by key
    }

    [Fact]
    public async Task A_changed_credential_file_is_noticed_and_a_broken_one_changes_nothing()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var providers = await StartWithTwoKeysAsync();
        var settings = new TestSettings();
        await using var server = await RunningServer.StartAsync(
            [relay],
            options =>
            {
                UseKey(options, "KEYNUMBER1", _first);
                options.ReloadInterval = TimeSpan.FromMilliseconds(50);
            },
            providers: providers,
            extras: new ServerExtras { Settings = settings });
        settings.Base = server.Options;
        await relay.SubscribedAsync();
        RunningServer.Secret(server.Folder, "KEYNUMBER1.p8", "broken");
        await server.Probe.UntilAsync("marmot_notify_reloads:refused", 1);
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
        await server.Probe.EndedAsync("accepted", 1);

        RunningServer.Secret(server.Folder, "KEYNUMBER1.p8", _first.ExportPkcs8PrivateKeyPem() + "\n\n");
        await server.Probe.UntilAsync("marmot_notify_reloads:done", 1);
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(2)));
        await server.Probe.EndedAsync("accepted", 2);
    }

    [Fact]
    public async Task Limits_and_switches_are_taken_over_and_what_needs_a_restart_is_named()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var server = await RunningServer.StartAsync([relay]);
        await relay.SubscribedAsync();
        var fresh = Copy(server.Options);
        fresh.AcceptMarmotPushV1 = false;
        fresh.Concurrency = 3;
        fresh.QueueCapacity = 123;
        fresh.EcOperationsPerSecond = 777;
        fresh.Relays.Add("wss://another.example");
        fresh.Apps[0].RetiringKeyFiles.Add(fresh.Apps[0].KeyFile);
        var (taken, left) = server.Service.Apply(fresh);

        Assert.Equal(["limits"], taken);
        Assert.Equal(["app RetiringKeyFiles", "Notify:Relays"], left);
        Assert.Equal(123, server.Service.Apps[0].Lane(DevicePlatform.Apns)!.Capacity);
        await relay.SendAsync(server.Trigger(TokenDialect.MarmotPushV1, Device.Apns(1)));
        await server.Probe.EventsAsync("dialect-off", 1);
        await relay.SendAsync(server.Trigger(TokenDialect.Mip05Long, [.. Enumerable.Range(1, 20).Select(i => Device.Apns((byte)i))]));
        await server.Probe.EndedAsync("accepted", 20);

        // A provider that is configured now, and one that no longer is.
        fresh.Apps[0].Fcm = new FcmOptions();
        Assert.Contains("app fcm", server.Service.Apply(fresh).Taken);
        Assert.Null(server.Service.Apps[0].Lane(DevicePlatform.Fcm));
        fresh.Apps[0].Fcm = server.Options.Apps[0].Fcm;
        server.Service.Apply(fresh);
        await relay.SendAsync(server.Trigger(TokenDialect.Mip05Long, Device.Fcm("back")));
        await server.Probe.EndedAsync("accepted", 21);
    }

    [Fact]
    public async Task Sighup_takes_over_the_settings_file_of_a_running_process()
    {
        await using var relay = await TestRelay.StartAsync();
        await using var providers = await StartWithTwoKeysAsync();
        using var folder = new TemporaryFolder();
        var options = RunningServer.CreateOptions(folder.Path, providers, [relay.Url]);
        UseKey(options, "KEYNUMBER1", _first);
        var (process, admin) = await ServerProgram.StartNotifyAsync(folder.Path, options);
        await using var _ = process;
        using var __ = admin;
        await relay.SubscribedAsync();
        using var key = NotifyServer.Apps.KeyFile.Load(options.Apps[0].KeyFile);
        providers.Apns.RevokeKey("KEYNUMBER1");

        UseKey(options, "KEYNUMBER2", _second);
        ServerProgram.WriteSettings(folder.Path, options);
        process.HangUp();
        await process.WritesAsync("taken over: limits, app apns");
        await relay.SendAsync(TestTrigger.Create(key.PublicKey, TokenDialect.MarmotPushV1, [Device.Apns(1)], TimeProvider.System));
        await providers.Apns.WaitForRequestsAsync(1, CancellationToken.None).WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(1, providers.Apns.DeliveriesFor(Device.ApnsName(1)));

        options.Concurrency = 0;
        ServerProgram.WriteSettings(folder.Path, options);
        process.HangUp();
        await process.WritesAsync("Notify:Concurrency");
        process.Terminate();
        Assert.Equal(0, await process.WaitForExitAsync(TimeSpan.FromSeconds(30)));
    }

    public void Dispose()
    {
        _first.Dispose();
        _second.Dispose();
    }

    private Task<SimulatedProviders> StartWithTwoKeysAsync(Action<ApnsSimulatorOptions>? more = null) => SimulatedProviders.StartAsync(apns =>
    {
        apns.Keys =
        [
            new ApnsSigningKey { KeyId = "KEYNUMBER1", TeamId = "MARMOTTEAM", PublicKey = _first },
            new ApnsSigningKey { KeyId = "KEYNUMBER2", TeamId = "MARMOTTEAM", PublicKey = _second },
        ];
        more?.Invoke(apns);
    });

    // Both the name of the key and its file, as an operator would.
    private static void UseKey(NotifyOptions options, string keyId, ECDsa key)
    {
        var apns = options.Apps[0].Apns;
        apns.KeyId = keyId;
        apns.KeyFile = Path.Combine(Path.GetDirectoryName(options.Apps[0].CaFile)!, keyId + ".p8");
        RunningServer.Secret(Path.GetDirectoryName(apns.KeyFile)!, Path.GetFileName(apns.KeyFile), key.ExportPkcs8PrivateKeyPem());
    }

    private static NotifyOptions Copy(NotifyOptions options) =>
        System.Text.Json.JsonSerializer.Deserialize<NotifyOptions>(System.Text.Json.JsonSerializer.Serialize(options), Binding)!;

    private static readonly System.Text.Json.JsonSerializerOptions Binding = new()
    {
        PreferredObjectCreationHandling = System.Text.Json.Serialization.JsonObjectCreationHandling.Populate,
    };

    private sealed class TestSettings : ISettingsSource
    {
        public string? File => null;

        public NotifyOptions Base { get; set; } = new();

        public Action<NotifyOptions>? Change { get; set; }

        public NotifyOptions Read()
        {
            var fresh = Copy(Base);
            Change?.Invoke(fresh);
            return fresh;
        }
    }
}
