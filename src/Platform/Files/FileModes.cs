namespace Marmot.Platform.Files;

/// <summary>Unix modes of what only its owner may see. Windows has its own rules and ignores them.</summary>
public static class FileModes
{
    /// <summary>0600: a file that its owner alone may read and write.</summary>
    public const UnixFileMode OwnerOnlyFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>0700: a folder that its owner alone may enter.</summary>
    public const UnixFileMode OwnerOnlyFolder = OwnerOnlyFile | UnixFileMode.UserExecute;

    /// <summary>Whatever group and others may do.</summary>
    public const UnixFileMode GroupAndOthers = UnixFileMode.GroupRead | UnixFileMode.GroupWrite | UnixFileMode.GroupExecute
        | UnixFileMode.OtherRead | UnixFileMode.OtherWrite | UnixFileMode.OtherExecute;

    /// <summary>Options for a new file that has a mode from its first moment; without one the process's umask decides.</summary>
    public static FileStreamOptions NewFile(FileMode how, FileAccess access, UnixFileMode? mode)
    {
        var options = new FileStreamOptions { Mode = how, Access = access, Share = FileShare.None, BufferSize = 0 };
        if (mode is { } given && !OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = given;
        }

        return options;
    }
}
