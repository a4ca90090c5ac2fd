using System.Net;
using System.Net.Sockets;
using Marmot.TestKit;

namespace Marmot.Scenarios;

/// <summary>Each wrong setting and each failed start is one line that names the setting and what helps; nothing of a stack.</summary>
public sealed class StartErrorTests : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("Public:Origin=wss://x", "Public:Origin=wss://x: a setting starts with two dashes: --Public:Origin=wss://x")]
    [InlineData("-Public:Origin=wss://x", "-Public:Origin=wss://x: a setting starts with two dashes: --Public:Origin=wss://x")]
    [InlineData("nonsense", "nonsense: is no setting. Settings are written --Section:Key=value.")]
    [InlineData("--Relay:Kinds", "--Relay:Kinds: the value is missing: --Relay:Kinds=VALUE")]
    [InlineData("--config", "--config: the file's name is missing")]
    [InlineData("--Relays:Kinds=All", "Relays: no such section. Did you mean Relay?")]
    [InlineData("--Kinds=All", "Kinds: no such setting; settings are written Section:Key. Did you mean Relay:Kinds?")]
    [InlineData("--urls=http://*:1", "--urls=http://*:1: no such setting; settings are written Section:Key. Did you mean Public:Urls?")]
    [InlineData("--Relay=All", "Relay: is a section; its settings are written Relay:Key")]
    [InlineData("--Public:Urls=127.0.0.1:80",
        "Public:Urls: '127.0.0.1:80' is not allowed: an address to listen on is http://ADDRESS:PORT with a port from 0 to 65535, several separated by ';'")]
    [InlineData("--Public:Urls=http://127.0.0.1:99999",
        "Public:Urls: 'http://127.0.0.1:99999' is not allowed: an address to listen on is http://ADDRESS:PORT with a port from 0 to 65535, several "
            + "separated by ';'")]
    [InlineData("--Admin:Urls=http://127.0.0.1:many",
        "Admin:Urls: 'http://127.0.0.1:many' is not allowed: an address to listen on is http://ADDRESS:PORT with a port from 0 to 65535, several "
            + "separated by ';'")]
    [InlineData("--Public:Urls=http://0.0.0.0:8081", "Admin:Urls: port 8081 is already that of Public:Urls; give each a port of its own.")]
    [InlineData("--Public:Origin=example.org",
        "Public:Origin: 'example.org' is not allowed: an origin is a scheme and a host, e.g. wss://example.org (ws, wss, http or https; no path)")]
    [InlineData("--Public:Origin=wss://example.org/relay",
        "Public:Origin: 'wss://example.org/relay' is not allowed: an origin is a scheme and a host, e.g. wss://example.org (ws, wss, http or https; no path)")]
    [InlineData("--Storage:Postgres=Host=db;Passwrd=hidden", "Storage:Postgres: 'passwrd' is no word of a connection string")]
    [InlineData("--Storage:Postgres=Database=marmot", "Storage:Postgres: Host= is missing, e.g. Host=127.0.0.1;Database=marmot;Username=marmot")]
    [InlineData("--Storage:DataDirectory=/proc/marmot", "Storage:DataDirectory: /proc/marmot cannot be made: /proc cannot be written by this user")]
    [InlineData("--Telemetry:OtlpEndpoint=collector:4317",
        "Telemetry:OtlpEndpoint: 'collector:4317' is not allowed: a URL with scheme and host is expected, e.g. http://collector:4317")]
    [InlineData("--Log:Level=Loud", "Log:Level: 'Loud' is not one of Verbose, Debug, Information, Warning, Error, Fatal.")]
    public async Task A_wrong_setting_is_one_line_that_says_what_is_right(string argument, string line)
    {
        var (exitCode, output) = await RunAsync("config", "check", argument);
        Assert.Equal(1, exitCode);
        Assert.StartsWith("settings: " + line, Assert.Single(output), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_setting_of_the_environment_with_a_misspelt_section_is_found_and_the_rest_of_the_environment_is_not_ours()
    {
        await using var process = ChildProcess.Start(
            "env", ["Relayz__Kinds=All", "SOMETHING__ELSE=1", "RELAYS=x", "dotnet", SettingsTests.Program, "config", "check"], _folder.Path);
        Assert.Equal(1, await process.WaitForExitAsync(Timeout));
        Assert.Equal("settings: Relayz: no such section. Did you mean Relay?", process.Output.Trim());
    }

    [Theory]
    [InlineData("{ \"Public\": {\n  \"Origin\": \"wss://x.example\",, } }", "line 2, column 31: ")]
    [InlineData("[]", "the file must be one JSON object")]
    [InlineData("", "line 1, column 1: ")]
    public async Task A_settings_file_that_is_no_json_is_named_with_line_and_column(string content, string says)
    {
        await File.WriteAllTextAsync(_folder.File("marmot.json"), content);
        var (exitCode, output) = await RunAsync("config", "check", "--config", "marmot.json");
        Assert.Equal(1, exitCode);
        string line = Assert.Single(output);
        Assert.StartsWith("settings: --config marmot.json", line, StringComparison.Ordinal);
        Assert.Contains(says, line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Valid_settings_say_where_a_derived_value_comes_from()
    {
        var (exitCode, output) = await RunAsync("config", "check");
        Assert.Equal(0, exitCode);
        Assert.Equal("settings are valid", output[0]);
        Assert.Contains(output, line => line.Contains("--Public:Origin=wss://", StringComparison.Ordinal));
        Assert.Contains(output, line => line.Contains("Notify:Relays is empty: the own relay at Public:Urls", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Online_the_servers_that_settings_name_are_asked()
    {
        int closed = FreePort.Take(1)[0];
        var (exitCode, output) = await RunAsync(
            "config", "check", "--online", $"--Storage:Postgres=Host=127.0.0.1;Port={closed};Username=a;Database=b", $"--Cluster:Redis=127.0.0.1:{closed}");
        Assert.Equal(1, exitCode);
        Assert.Contains(output, line => line.StartsWith("settings: Storage:Postgres: ", StringComparison.Ordinal));
        Assert.Contains(output, line => line.StartsWith("settings: Cluster:Redis: ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_port_in_use_is_said_with_the_setting_before_anything_is_made()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        int port = ((IPEndPoint)other.LocalEndpoint).Port;

        var (exitCode, output) = await RunAsync("all", $"--Public:Urls=http://127.0.0.1:{port}", "--Admin:Urls=");

        Assert.Equal(2, exitCode);
        string line = Assert.Single(output);
        Assert.StartsWith($"settings: Public:Urls: port {port} is in use by another program. ", line, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_folder.Path));
    }

    [Fact]
    public async Task An_address_of_another_machine_is_said_with_the_setting()
    {
        var (exitCode, output) = await RunAsync("relay", "--Public:Urls=http://192.0.2.1:8080", "--Admin:Urls=");
        Assert.Equal(2, exitCode);
        Assert.StartsWith("settings: Public:Urls: 192.0.2.1 is no address of this machine.", Assert.Single(output), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_file_in_place_of_the_data_folder_is_said()
    {
        await File.WriteAllTextAsync(_folder.File("data"), "");
        var (exitCode, output) = await RunAsync("all", "--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=");
        Assert.Equal(2, exitCode);
        Assert.Equal($"settings: Storage:DataDirectory: {_folder.File("data")} is a file; name a folder.", Assert.Single(output));
    }

    [Theory]
    [InlineData("relay")]
    [InlineData("blossom")]
    public async Task A_folder_in_use_by_another_server_is_said_in_one_line(string role)
    {
        await using var first = Start(role);
        await first.WaitForOutputAsync("marmot-server is up", Timeout);

        var (exitCode, output) = await RunAsync(role, "--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=");

        Assert.Equal(2, exitCode);
        string line = Assert.Single(output, line => line.StartsWith("could not start: ", StringComparison.Ordinal));
        Assert.Contains("is in use by another server", line, StringComparison.Ordinal);
        Assert.DoesNotContain(output, line => line.TrimStart().StartsWith("at ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task The_push_server_alone_opens_no_public_port()
    {
        int port = FreePort.Take(1)[0];
        await using var process = ChildProcess.Start(
            "dotnet",
            [
                SettingsTests.Program, "notify", $"--Public:Urls=http://127.0.0.1:{port}", "--Admin:Urls=http://127.0.0.1:0",
                $"--Notify:Relays:0=ws://127.0.0.1:{FreePort.Take(1)[0]}"
            ],
            _folder.Path);
        await process.WaitForOutputAsync("marmot-server is up", Timeout);
        using var client = new TcpClient();
        await Assert.ThrowsAsync<SocketException>(() => client.ConnectAsync(IPAddress.Loopback, port));
    }

    [Fact]
    public async Task The_card_is_the_last_on_the_screen_and_says_what_to_do_next()
    {
        await using var process = Start("all");
        await process.WaitForOutputAsync("stop:", Timeout);
        string output = process.Output;
        int card = output.IndexOf("marmot-server is up", StringComparison.Ordinal);
        string after = output[card..];
        Assert.Contains("Public:Origin is not set", after, StringComparison.Ordinal);
        Assert.Contains("marmot-server doctor --relay ws://127.0.0.1:", after, StringComparison.Ordinal);
        Assert.DoesNotContain(" INF ", after, StringComparison.Ordinal);
    }

    private ChildProcess Start(string role) =>
        ChildProcess.Start("dotnet", [SettingsTests.Program, role, "--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=http://127.0.0.1:0"], _folder.Path);

    private async Task<(int ExitCode, string[] Lines)> RunAsync(params string[] arguments)
    {
        await using var process = ChildProcess.Start("dotnet", [SettingsTests.Program, .. arguments], _folder.Path);
        int exitCode = await process.WaitForExitAsync(Timeout);
        return (exitCode, process.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }
}
