using Marmot.NotifyServer.Doctor;
using Marmot.ProviderSimulators;
using Marmot.NotifyServer.Tests.Support;
using Marmot.TestKit;

namespace Marmot.NotifyServer.Tests;

/// <summary>The doctor against the simulators and scripted relays: healthy, and sick in one place at a time.</summary>
public sealed class DoctorTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private SimulatedProviders _providers = null!;
    private TestRelay _relay = null!;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public async Task InitializeAsync()
    {
        _providers = await SimulatedProviders.StartAsync(apns =>
        {
            apns.KnownDevicesOnly = true;
            apns.ProviderTokenUpdateInterval = TimeSpan.Zero;
        });
        _relay = await TestRelay.StartAsync(ChallengeManner.OnConnect);
        _relay.Information = """{"name":"x","limitation":{"max_message_length":200000}}""";
    }

    public async Task DisposeAsync()
    {
        await _relay.DisposeAsync();
        await _providers.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task A_healthy_server_passes_every_check_and_rings_nobody()
    {
        var findings = await ExamineAsync(Options());

        Assert.All(findings, finding => Assert.True(finding.Verdict == DoctorVerdict.Passed, $"{finding.Check}: {finding.Detail}"));
        Assert.Equal(
            [
                "key", "apns name", "apns tls", "apns credential", "fcm name", "fcm tls", "clock", "fcm credential", "limits", "subscription (app)",
                "trigger there and back (app)"
            ],
            findings.Select(finding => finding.Check.Split(": ", 2)[1]));
        Assert.Contains("BadDeviceToken", Detail(findings, "apns credential"), StringComparison.Ordinal);
        Assert.Contains("h2", Detail(findings, "apns tls"), StringComparison.Ordinal);
        Assert.Contains("authenticated", Detail(findings, "subscription"), StringComparison.Ordinal);
        Assert.DoesNotContain(_providers.Apns.Requests.Concat(_providers.Fcm.Requests), request => request.Accepted);
    }

    [Fact]
    public async Task The_command_prints_every_check_and_its_exit_code_says_whether_one_failed()
    {
        var settings = ServerProgram.WriteSettings(_folder.Path, Options());
        await using var healthy = ServerProgram.Start("notify", "doctor", "--config=" + settings);
        Assert.True(await healthy.WaitForExitAsync(Patience) == 0, healthy.Output);
        Assert.Contains("BadDeviceToken", healthy.Output, StringComparison.Ordinal);

        _providers.Apns.RevokeKey(_providers.Apns.KeyId);
        await using var sick = ServerProgram.Start("notify", "doctor", "--config=" + settings);
        Assert.Equal(1, await sick.WaitForExitAsync(Patience));
        Assert.Contains("InvalidProviderToken", sick.Output, StringComparison.Ordinal);

        await using var wrong = ServerProgram.Start("notify", "doctor", "--config=" + settings, "--Notify:HintLifetime=soon");
        Assert.Equal(2, await wrong.WaitForExitAsync(Patience));
    }

    [Fact]
    public async Task Refused_credentials_are_found_at_each_provider()
    {
        _providers.Apns.RevokeKey(_providers.Apns.KeyId);
        _providers.Fcm.DeleteServiceAccount();
        var findings = await ExamineAsync(Options());

        Assert.Equal((DoctorVerdict.Failed, "InvalidProviderToken"), Of(findings, "apns credential"));
        Assert.Equal((DoctorVerdict.Failed, "invalid_grant"), Of(findings, "fcm credential"));
        Assert.Equal(DoctorVerdict.Passed, Of(findings, "apns tls").Verdict);
    }

    [Fact]
    public async Task An_authority_that_is_not_trusted_and_a_port_where_nobody_listens_are_found()
    {
        var options = Options();
        using var other = SimulatorAuthority.Create([]);
        await File.WriteAllTextAsync(options.Apps[0].CaFile, other.CaCertificatePem);
        options.Apps[0].Fcm.Endpoint = $"https://localhost:{FreePort.Take(1)[0]}";
        var findings = await ExamineAsync(options);

        Assert.Equal(DoctorVerdict.Failed, Of(findings, "apns tls").Verdict);
        Assert.Equal(DoctorVerdict.Failed, Of(findings, "apns credential").Verdict);
        Assert.Equal(DoctorVerdict.Failed, Of(findings, "fcm tls").Verdict);
    }

    [Fact]
    public async Task A_relay_that_hurts_or_refuses_is_found()
    {
        _relay.Information = """{"limitation":{"max_message_length":65536}}""";
        _relay.RefusesWraps = "blocked: no";
        var findings = await ExamineAsync(Options());

        Assert.Equal(DoctorVerdict.Warning, Of(findings, "limits").Verdict);
        Assert.Contains("65536", Of(findings, "limits").Detail, StringComparison.Ordinal);
        Assert.Equal((DoctorVerdict.Warning, "takes no trigger of ours: blocked"), Of(findings, "trigger there and back (app)"));
    }

    [Fact]
    public async Task A_key_that_others_may_read_is_found_and_a_missing_one_is_not_made()
    {
        var options = Options();
        File.Delete(options.Apps[0].KeyFile);
        var findings = await ExamineAsync(options);
        Assert.Equal(DoctorVerdict.Warning, Of(findings, "key").Verdict);
        Assert.False(File.Exists(options.Apps[0].KeyFile));

        await File.WriteAllTextAsync(options.Apps[0].KeyFile, new string('1', 64));
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(options.Apps[0].KeyFile, UnixFileMode.UserRead | UnixFileMode.GroupRead);
            Assert.Equal(DoctorVerdict.Failed, Of(await ExamineAsync(options), "key").Verdict);
        }
    }

    [Theory]
    [InlineData(0, DoctorVerdict.Passed)]
    [InlineData(29, DoctorVerdict.Passed)]
    [InlineData(60, DoctorVerdict.Warning)]
    [InlineData(-60, DoctorVerdict.Warning)]
    [InlineData(600, DoctorVerdict.Failed)]
    [InlineData(-600, DoctorVerdict.Failed)]
    public void Case_59_a_clock_that_is_off_is_told_in_seconds(int seconds, DoctorVerdict verdict)
    {
        var (judged, detail) = NotifyDoctor.JudgeSkew(TimeSpan.FromSeconds(seconds));
        Assert.Equal(verdict, judged);
        Assert.Contains(Math.Abs(seconds).ToString(System.Globalization.CultureInfo.InvariantCulture), detail, StringComparison.Ordinal);
    }

    private NotifyOptions Options()
    {
        using var key = Protocol.Keys.SecretKey.Generate();
        var secret = new byte[32];
        key.CopyTo(secret);
        return RunningServer.CreateOptions(_folder.Path, _providers, [_relay.Url], Convert.ToHexStringLower(secret));
    }

    private static async Task<List<DoctorFinding>> ExamineAsync(NotifyOptions options)
    {
        var findings = new List<DoctorFinding>();
        await foreach (var finding in new NotifyDoctor(options, TimeProvider.System).ExamineAsync(CancellationToken.None)) // the date is compared
        {
            findings.Add(finding);
        }

        return findings;
    }

    private static (DoctorVerdict Verdict, string Detail) Of(List<DoctorFinding> findings, string check)
    {
        var finding = Assert.Single(findings, finding => finding.Check.EndsWith(": " + check, StringComparison.Ordinal));
        return (finding.Verdict, finding.Detail);
    }

    private static string Detail(List<DoctorFinding> findings, string check) =>
        Assert.Single(findings, finding => finding.Check.Contains(": " + check, StringComparison.Ordinal)).Detail;
}
