# Intune custom compliance, discovery script; intune-compliance.json has the rules. Run it in the
# system's context and as 64-bit: only administrators may ask the agent.
$ErrorActionPreference = 'Stop'
$tidemark = Join-Path $env:ProgramFiles 'Tidemark\tidemark.exe'
$result = @{ TidemarkInstalled = $false; TidemarkHealth = 'not installed'; TidemarkVersion = '0.0.0'; TidemarkReason = '' }
if (Test-Path $tidemark) {
    $result.TidemarkInstalled = $true
    $result.TidemarkHealth = 'unknown'
    try {
        $status = (& $tidemark status --json 2>$null) -join "`n" | ConvertFrom-Json
        $result.TidemarkHealth = $status.overall
        $result.TidemarkVersion = ($status.version -replace '^v', '') -replace '[-+].*$', ''
        if ($status.reasons.Count -gt 0) { $result.TidemarkReason = $status.reasons[0].id }
    } catch { }
}
return $result | ConvertTo-Json -Compress
