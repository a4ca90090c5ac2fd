using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Marmot.ProviderSimulators;
using Marmot.TestKit;

namespace Marmot.Interop;

/// <summary>Triggers built with nostr-tools and @noble packages travel through the suite to the simulated providers.</summary>
public sealed class PushTests : IAsyncLifetime
{
    private const string Topic = "org.example.marmot";
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly TemporaryFolder _folder = new();
    private ApnsSimulator? _apns;
    private FcmSimulator? _fcm;

    public async Task InitializeAsync()
    {
        _apns = await ApnsSimulator.StartAsync(new ApnsSimulatorOptions(), CancellationToken.None);
        _fcm = await FcmSimulator.StartAsync(new FcmSimulatorOptions(), CancellationToken.None);
    }

    public async Task DisposeAsync()
    {
        await _apns!.DisposeAsync();
        await _fcm!.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    [Trait("Spec", "MIP-05")]
    public async Task A_trigger_in_each_dialect_reaches_each_device_once_silently_and_leaves_no_trace()
    {
        string data = _folder.File("data");
        await using var suite = await MarmotServerProcess.StartAsync("all", data, Settings());

        var devices = new List<Device>();
        foreach (string dialect in (string[])["mip05-short", "mip05-long", "marmot-push-v1"])
        {
            devices.Add(NewApnsDevice(dialect));
            devices.Add(NewApnsDevice(dialect));
            devices.Add(NewFcmDevice(dialect));
        }

        await TriggerAsync(suite, devices);

        // The fence: a relay hands events on in order, so when a later trigger has arrived, so have the copies of the earlier ones.
        Device[] fence = [NewApnsDevice("marmot-push-v1"), NewFcmDevice("marmot-push-v1")];
        await TriggerAsync(suite, fence);
        devices.AddRange(fence);
        var apns = devices.Where(device => device.Platform == "apns").ToList();
        var fcm = devices.Where(device => device.Platform == "fcm").ToList();
        await WaitForAsync(_apns!.WaitForRequestsAsync, apns.Count, suite);
        await WaitForAsync(_fcm!.WaitForRequestsAsync, fcm.Count, suite);
        string metrics = await MetricsAsync(suite);

        // A clean stop sends what is queued, so nothing can come after it.
        int exitCode = await suite.StopAsync();
        Assert.True(exitCode == 0, $"SIGTERM: marmot-server ended with {exitCode}:\n{suite.Output}");

        Assert.All(apns, device => Assert.Equal((1, 1), (_apns.RequestsFor(device.Token), _apns.DeliveriesFor(device.Token))));
        Assert.All(fcm, device => Assert.Equal((1, 1), (_fcm.RequestsFor(device.Token), _fcm.DeliveriesFor(device.Token))));
        Assert.All(_apns.Requests, AssertSilentApns);
        Assert.All(_fcm.Requests, AssertSilentFcm);
        AssertNoTrace(devices, data, suite.Output, metrics);
    }

    private string[] Settings()
    {
        string ca = _folder.WriteSecret("ca.pem", _apns!.CaCertificatePem + _fcm!.CaCertificatePem);
        return
        [
            "--Notify:Apps:0:Name=example",
            $"--Notify:Apps:0:KeyFile={_folder.File("example.nsec")}",
            $"--Notify:Apps:0:CaFile={ca}",
            $"--Notify:Apps:0:Apns:TeamId={_apns.TeamId}",
            $"--Notify:Apps:0:Apns:KeyId={_apns.KeyId}",
            $"--Notify:Apps:0:Apns:KeyFile={_folder.WriteSecret("apns.p8", _apns.PrivateKeyPem!)}",
            $"--Notify:Apps:0:Apns:Topic={Topic}",
            $"--Notify:Apps:0:Apns:Endpoint={_apns.Endpoint.GetLeftPart(UriPartial.Authority)}",
            $"--Notify:Apps:0:Fcm:ServiceAccountFile={_folder.WriteSecret("fcm.json", _fcm.ServiceAccountJson)}",
            $"--Notify:Apps:0:Fcm:Endpoint={_fcm.Endpoint.GetLeftPart(UriPartial.Authority)}",
            "--Notify:CoalescingWindow=00:00:00", // so that only the replay cache can hold back the copies
            "--Log:Level=Verbose",
        ];
    }

    private static Task TriggerAsync(MarmotServerProcess suite, IEnumerable<Device> devices)
    {
        string json = JsonSerializer.Serialize(devices.Select(device => new { dialect = device.Dialect, platform = device.Platform, token = device.Token }));
        return NodeClient.RunAsync("push-trigger.mjs", suite, ("DEVICES", json));
    }

    private static async Task WaitForAsync(Func<int, CancellationToken, Task<IReadOnlyList<SimulatedRequest>>> wait, int count, MarmotServerProcess suite)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        try
        {
            await wait(count, deadline.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"fewer than {count} pushes within {Deadline}; the suite wrote:\n{suite.Output}\nits metrics:\n{await MetricsAsync(suite)}");
        }
    }

    private static async Task<string> MetricsAsync(MarmotServerProcess suite)
    {
        using var client = new HttpClient();
        string metrics = await client.GetStringAsync(new Uri(suite.AdminUrl, "metrics"));
        Assert.Contains("marmot_", metrics, StringComparison.Ordinal);
        return metrics;
    }

    // push.md 2a: a background push holds content-available and nothing that the user could see or hear.
    private static void AssertSilentApns(SimulatedRequest request)
    {
        Assert.Equal("background", request.Header("apns-push-type"));
        Assert.Equal("5", request.Header("apns-priority"));
        Assert.Equal(Topic, request.Header("apns-topic"));
        Assert.Empty(request.Warnings);
        using var body = JsonDocument.Parse(request.Body);
        var root = Assert.Single(body.RootElement.EnumerateObject());
        Assert.Equal("aps", root.Name);
        var field = Assert.Single(root.Value.EnumerateObject());
        Assert.Equal(("content-available", 1), (field.Name, field.Value.GetInt32()));
    }

    // push.md 2b: a data message wakes the app; a notification would be shown.
    private static void AssertSilentFcm(SimulatedRequest request)
    {
        Assert.Empty(request.Warnings);
        using var body = JsonDocument.Parse(request.Body);
        var message = body.RootElement.GetProperty("message");
        Assert.True(message.TryGetProperty("data", out _));
        Assert.False(message.TryGetProperty("notification", out _));
        Assert.False(message.GetProperty("android").TryGetProperty("notification", out _));
    }

    private static void AssertNoTrace(List<Device> devices, string data, string output, string metrics)
    {
        var places = Directory.EnumerateFiles(data, "*", SearchOption.AllDirectories).Select(file => (Name: file, Bytes: File.ReadAllBytes(file))).ToList();
        Assert.True(places.Sum(place => place.Bytes.LongLength) > 0, "the relay stored the gift wraps, so there must be something to search");
        places.Add(("the log", Encoding.UTF8.GetBytes(output)));
        places.Add(("the metrics", Encoding.UTF8.GetBytes(metrics)));
        var found =
            from device in devices
            let search = new TraceSearch($"{device.Platform} token", device.TokenBytes)
            from place in places
            from form in search.FindIn(place.Bytes)
            select $"{place.Name}: {form}";
        Assert.Empty(found);
    }

    private static Device NewApnsDevice(string dialect) => new(dialect, "apns", Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)));

    private static Device NewFcmDevice(string dialect) =>
        new(dialect, "fcm", $"{RandomNumberGenerator.GetHexString(22)}:APA91b{RandomNumberGenerator.GetHexString(120)}");

    private sealed record Device(string Dialect, string Platform, string Token)
    {
        internal byte[] TokenBytes => Platform == "apns" ? Convert.FromHexString(Token) : Encoding.ASCII.GetBytes(Token);
    }
}
