using System.Runtime.Versioning;
using Marmot.NotifyServer.Apps;
using Marmot.Platform.Files;

namespace Marmot.NotifyServer.Tests.Apps;

/// <summary>Modes are those of Unix, where the server runs.</summary>
[UnsupportedOSPlatform("windows")]
public sealed class SecretFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("secret").FullName;

    [Fact]
    public void Makes_a_key_on_first_run_readable_by_its_owner_only_and_keeps_it()
    {
        var path = Path.Combine(_folder, "new", "notify.key");
        using var first = KeyFile.LoadOrCreate(path, out var made);
        using var second = KeyFile.LoadOrCreate(path, out var madeAgain);

        Assert.True(made);
        Assert.False(madeAgain);
        Assert.Equal(first.PublicKey, second.PublicKey);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        Assert.Single(Directory.GetFiles(Path.GetDirectoryName(path)!));
    }

    [Fact]
    public void Case_71_never_overwrites_a_key()
    {
        var path = Path.Combine(_folder, "notify.key");
        Assert.True(KeyFile.TryCreate(path, out _));
        var before = File.ReadAllText(path);
        Assert.False(KeyFile.TryCreate(path, out _));
        Assert.Equal(before, File.ReadAllText(path));
    }

    [Fact]
    public void Case_68_refuses_a_key_that_others_may_read()
    {
        var path = Path.Combine(_folder, "notify.key");
        Assert.True(KeyFile.TryCreate(path, out _));
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);
        Assert.Throws<InvalidDataException>(() => KeyFile.Load(path));
    }

    [Fact]
    public void Case_69_an_error_does_not_quote_the_file()
    {
        var path = Path.Combine(_folder, "notify.key");
        Assert.True(SecretFile.TryCreate(path, "super-secret-but-wrong"u8));
        var error = Assert.Throws<InvalidDataException>(() => KeyFile.Load(path));
        Assert.DoesNotContain("super-secret", error.ToString(), StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
