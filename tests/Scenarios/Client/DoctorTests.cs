using System.Text.Json;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

public sealed class DoctorTests(SuiteFixture fixture) : IClassFixture<SuiteFixture>
{
    [Fact]
    public async Task Doctor_passes_every_step_against_the_own_suite_and_says_how_long_each_took()
    {
        var (exitCode, output) = await RunAsync(
            "--relay", fixture.Suite.RelayUrl.ToString(), "--blossom", fixture.Suite.HttpUrl.ToString(), "--notify", fixture.Suite.NotifyKey, "--json");
        Assert.True(exitCode == 0, output);
        using var report = JsonDocument.Parse(output);
        Assert.True(report.RootElement.GetProperty("ok").GetBoolean());
        var steps = report.RootElement.GetProperty("steps").EnumerateArray().ToList();
        Assert.Equal(12, steps.Count);
        Assert.All(steps, step => Assert.Equal("passed", step.GetProperty("outcome").GetString()));
        Assert.All(steps, step => Assert.True(step.GetProperty("milliseconds").GetDouble() > 0));
    }

    [Theory]
    [InlineData("--Relay:AuthOnConnect=true", "--Relay:AuthWait=0")] // the challenge comes on connect
    [InlineData("--Relay:AuthOnConnect=false", "--Relay:AuthWait=0")] // with the refusal
    [Trait("Spec", "NIP-42")]
    public async Task Doctor_passes_whenever_the_relay_sends_its_challenge(string onConnect, string wait)
    {
        using var folder = new TemporaryFolder();
        await using var relay = await MarmotServerProcess.StartAsync("relay", folder.Path, onConnect, wait);
        var (exitCode, output) = await RunAsync("--relay", relay.RelayUrl.ToString());
        Assert.True(exitCode == 0, output);
    }

    [Fact]
    public async Task Doctor_fails_with_1_and_names_the_step_when_nothing_answers()
    {
        int port = FreePort.Take(1)[0];
        var (exitCode, output) = await RunAsync("--relay", $"ws://127.0.0.1:{port}/");
        Assert.Equal(1, exitCode);
        Assert.Contains("FAIL", output, StringComparison.Ordinal);
        Assert.Contains("NIP-11", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_asks_for_the_name_when_a_relay_is_asked_under_one_that_is_not_its_own()
    {
        using var folder = new TemporaryFolder();
        await using var relay = await MarmotServerProcess.StartAsync("relay", folder.Path, "--Public:Origin=wss://relay.example.org");
        var (exitCode, output) = await RunAsync("--relay", relay.RelayUrl.ToString());
        Assert.Equal(1, exitCode);
        Assert.Contains("Public:Origin", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_says_2_for_arguments_it_does_not_know()
    {
        Assert.Equal(2, (await RunAsync("--relais", "x")).ExitCode);
        Assert.Equal(2, (await RunAsync("--relay", "https://example.org")).ExitCode);
        Assert.Equal(2, (await RunAsync("--notify", "nobody")).ExitCode);
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(params string[] arguments)
    {
        string configuration = AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
            ? "Release"
            : "Debug";
        string program = Path.Combine(MarmotServerProcess.RepositoryRoot, "src", "AllInOne", "bin", configuration, "net10.0", "marmot-server.dll");
        await using var process = ChildProcess.Start("dotnet", [program, "doctor", .. arguments]);
        int exitCode = await process.WaitForExitAsync(TimeSpan.FromSeconds(90));
        return (exitCode, process.Output);
    }
}
