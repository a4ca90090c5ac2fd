namespace Marmot.Mls.Tests;

/// <summary>Tests that look at the memory of the whole process, or use both cores for long: they run alone.</summary>
[CollectionDefinition(nameof(WholeProcess), DisableParallelization = true)]
public sealed class WholeProcess;
