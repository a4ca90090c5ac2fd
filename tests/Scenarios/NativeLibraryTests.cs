using System.Runtime.InteropServices;
using Marmot.TestKit;

namespace Marmot.Scenarios;

/// <summary>A native library that is broken stops every role at its start, with one line that says what to install. Before, a push server without one started,
/// was ready, and dropped every push.</summary>
public sealed class NativeLibraryTests : IDisposable
{
    private static readonly string Runtime = $"linux-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("relay", "libsodium.so", "libsecp256k1.so", "libsodium23")]
    [InlineData("blossom", "libsecp256k1.so", "libsodium.so", "libsecp256k1-1")]
    [InlineData("notify", "libsodium.so", "libsecp256k1.so", "libsodium23")]
    public async Task A_library_without_its_functions_stops_the_start_with_the_package_to_install(string role, string broken, string other, string package)
    {
        // Another library under its name: it loads, and has none of the functions.
        var program = CopyProgram();
        var native = Path.Combine(program, "runtimes", Runtime, "native");
        File.Copy(Path.Combine(native, other), Path.Combine(native, broken), overwrite: true);

        string[] arguments =
        [
            Path.Combine(program, "marmot-server.dll"), role, "--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=http://127.0.0.1:0",
            $"--Storage:DataDirectory={_folder.File("data")}",
            .. role == "notify" ? ["--Notify:Relays:0=wss://relay.example"] : Array.Empty<string>(),
        ];
        await using var process = ChildProcess.Start("dotnet", arguments, _folder.Path);
        Assert.Equal(2, await process.WaitForExitAsync(TimeSpan.FromSeconds(60)));
        var refusal = Assert.Single(process.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries),
            line => line.StartsWith("could not start: ", StringComparison.Ordinal));
        Assert.Contains(package, refusal, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", process.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("marmot-server is up", process.Output, StringComparison.Ordinal);
    }

    // What runs here of the program's folder: all but other systems' libraries.
    private string CopyProgram()
    {
        var source = Path.GetDirectoryName(SettingsTests.Program)!;
        var target = _folder.File("program");
        foreach (var file in Directory.EnumerateFiles(source)
            .Concat(Directory.EnumerateFiles(Path.Combine(source, "runtimes", Runtime), "*", SearchOption.AllDirectories)))
        {
            var copy = Path.Combine(target, Path.GetRelativePath(source, file));
            Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
            File.Copy(file, copy);
        }

        return target;
    }
}
