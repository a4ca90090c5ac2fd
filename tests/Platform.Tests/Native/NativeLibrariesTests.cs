using Marmot.Platform.Native;

namespace Marmot.Platform.Tests.Native;

public class NativeLibrariesTests
{
    [Theory]
    [InlineData(NativeLibraries.Secp256k1, "libsecp256k1-1")]
    [InlineData(NativeLibraries.Sodium, "libsodium23")]
    [InlineData(NativeLibraries.Lmdb, "liblmdb0")]
    public void A_missing_library_is_named_with_the_package_to_install(string name, string package)
    {
        var message = NativeLibraries.NotFound(name).Message;
        Assert.StartsWith($"{name} was not found (tried ", message, StringComparison.Ordinal);
        Assert.Contains(package, message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("libsodium")]
    [InlineData("libsecp256k1")]
    public void The_copy_of_the_package_is_loaded_and_not_the_system_s(string library)
    {
        Sodium.EnsureLoaded();
        Secp256k1.EnsureLoaded();
        using var process = System.Diagnostics.Process.GetCurrentProcess();
        var loaded = process.Modules.Cast<System.Diagnostics.ProcessModule>().Select(module => module.FileName)
            .Where(file => file.Contains(library, StringComparison.Ordinal)).ToArray();
        Assert.NotEmpty(loaded);
        Assert.All(loaded, file => Assert.StartsWith(AppContext.BaseDirectory, file, StringComparison.Ordinal));
    }

    [Fact]
    public void An_assembly_may_be_registered_twice()
    {
        NativeLibraries.Register(typeof(NativeLibrariesTests).Assembly);
        NativeLibraries.Register(typeof(NativeLibrariesTests).Assembly);
    }
}
